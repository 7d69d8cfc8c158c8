"""What embedders do with threads in a proxy: they share none, and they start none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from litellm_benchrouter.embedders import Embedder, load_embedder

N_THREADS = 8


@pytest.mark.parametrize("kind", ["lexical", "static", "onnx", "minilm"])
def test_eight_threads_at_once_give_the_vectors_of_one_after_the_other(
    kind: str, corpus: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made: Embedder = request.getfixturevalue(kind)
    made.save(tmp_path)
    embedder = load_embedder(json.loads(json.dumps(made.identity())), tmp_path)
    # Long and short in turn, and batches among them: a limit set for one would cut another.
    texts = [text * (40 if i % 5 == 0 else 1) for i, text in enumerate(corpus)]
    calls = [[text] for text in texts] + [texts[:3], texts[3:7]]
    expected = [embedder.embed(call) for call in calls]
    together = threading.Barrier(N_THREADS)
    found: list[list[np.ndarray]] = [[] for _ in range(N_THREADS)]
    orders = [np.random.default_rng(thread).permutation(len(calls)) for thread in range(N_THREADS)]

    def work(thread: int) -> None:
        together.wait(20)
        for i in orders[thread]:
            found[thread].append(embedder.embed(calls[i]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for order, vectors in zip(orders, found, strict=True):
        assert len(vectors) == len(calls), "no thread ended early"
        for i, vector in zip(order, vectors, strict=True):
            np.testing.assert_array_equal(vector, expected[i])


_COUNT = """
import json, os, sys, threading
from pathlib import Path
from litellm_benchrouter.embedders import load_embedder
folder = Path(sys.argv[1])
threads = lambda: set(os.listdir("/proc/self/task"))
embedder = load_embedder(json.loads((folder / "identity.json").read_text()), folder)
loaded = threads()
for _ in range(3):
    embedder.embed(["What is the capital of France? " * 30])
grown = len(threads() - loaded)  # one of loading may end meanwhile
caps = []
if "torch" in sys.modules:
    import torch
    other = threading.Thread(target=lambda: caps.append(torch.get_num_threads()))
    other.start(); other.join()
print(json.dumps({"grown": grown, "caps": caps}))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
@pytest.mark.parametrize("kind", ["lexical", "static", "onnx", "minilm"])
def test_a_prompt_starts_no_threads(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made: Embedder = request.getfixturevalue(kind)
    made.save(tmp_path)
    (tmp_path / "identity.json").write_text(json.dumps(made.identity()))
    free = {
        k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    }
    free["RAYON_NUM_THREADS"] = "4"  # what a larger machine would start
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=free,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["grown"] == 0
    assert found["caps"] == ([1] if kind == "minilm" else [])
