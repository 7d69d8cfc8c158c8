"""Prompts of own traffic: kept by the proxy, read from wherever they are, described, erased."""
