"""What several of the programs in this folder share; the tests' real proxy is importable by it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
