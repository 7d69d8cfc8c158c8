"""The parts of `peers.py`."""

import support  # noqa: F401  # makes the tests' proxy importable
