"""Held-out picks and what they are worth: shared by the proof of a build and the protocols."""
