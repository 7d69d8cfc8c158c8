"""Nearest neighbours of a prompt: the graphs that are searched, and their files."""
