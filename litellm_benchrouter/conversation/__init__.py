"""Requests of every endpoint: the text to route on, and the conversation it belongs to."""
