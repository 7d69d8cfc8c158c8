"""Versions of an artifact, kept in a folder or in object storage: read, published, rolled back."""
