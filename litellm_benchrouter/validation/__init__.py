"""Held-out validation that the proof of a build and the protocols of `evaluate` share."""
