"""Labelled inputs of named tasks: asked for, stored, and read back by the next build."""
