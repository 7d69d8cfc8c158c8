"""semantic-router in an environment of its own, where its dependencies are in nobody's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SEMANTIC_ROUTER = "semantic-router"
_WORKER = Path(__file__).with_name("semantic_worker.py")


def find(python: Path | None) -> Path | None:
    """Return the given Python, or this one, where it can import semantic-router."""
    candidate = python or Path(sys.executable)
    answer = subprocess.run(
        [candidate, "-c", "import semantic_router"], capture_output=True, check=False
    )
    return candidate if answer.returncode == 0 else None


class SemanticRouter:
    """A process that routes by vector; a context manager.

    Parameters
    ----------
    python : Path
        Of an environment with semantic-router.
    """

    version: str

    def __init__(self, python: Path) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its input ends, and it with it

    def load(
        self,
        folder: Path,
        base: NDArray[np.float32],
        best: NDArray[np.intp],
        queries: NDArray[np.float32],
        k: int,
    ) -> None:
        """Give it the benchmark's vectors, the best model of each, and the queries, as files."""
        files = {"base": base, "best": best, "queries": queries}
        for name, array in files.items():
            np.save(folder / f"semantic-{name}.npy", array)
        self.version = self._call({"load": str(folder), "k": k})["version"]

    def ask(self, query: int) -> float:
        """Let it decide for a query; return the milliseconds that it took by its own clock."""
        return float(self._call({"ask": query})["ms"])

    def _call(self, message: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            assert self._process.stderr is not None
            last = (self._process.stderr.read().strip().splitlines() or ["without a word"])[-1]
            raise RuntimeError(f"semantic-router ended with {self._process.wait()}: {last}")
        return json.loads(answer)
