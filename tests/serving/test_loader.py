"""Versions that come and go beside the requests: loaded, swapped, refused, tried again."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from proxy.harness import eventually
from served import Served, serve

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.store.directory import Store

from .conftest import tuned

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b"]
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"


class Hanging:
    """An embedder that answers only when it is let go."""

    kind = "lexical"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.released = threading.Event()

    def embed(self, texts, *, progress=None):
        self.released.wait(60)
        raise ValueError(f"never repeat {texts[0]}")


async def test_what_was_asked_of_one_version_is_prepared_in_the_next(
    folder: Path, served: Served
) -> None:
    await served.ask(MATH, MODELS)
    await served.ask(MATH, MODELS, "report-queries")
    build(load_config(folder / "config.yaml").model_copy(update={"seed": 1}))
    served.loader.refresh()
    for task in (None, "report-queries"):
        assert served.executor.pace(served.router).is_prepared((task, *MODELS))


def test_nothing_published_yet_leaves_no_router_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy_files(tmp_path)
    with caplog.at_level(logging.WARNING):
        served = serve(load_config(tmp_path / "config.yaml"))
        served.loader.refresh()
    assert served.loader.router is None
    assert caplog.text.count("no version was published") == 1
    build(load_config(tmp_path / "config.yaml"))
    served.loader.refresh()
    assert served.loader.router is not None
    served.stop()


def test_a_new_version_is_swapped_in_and_a_broken_one_is_not(
    folder: Path, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    first = served.loader.router.artifact.manifest.version
    config = load_config(folder / "config.yaml").model_copy(update={"seed": 1})
    second = build(config).manifest.version
    assert second != first
    served.loader.refresh()
    assert served.loader.router.artifact.manifest.version == second

    third = build(config.model_copy(update={"seed": 2}))
    array = third.folder / "correctness.npy"
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        served.loader.refresh()
        served.loader.refresh()
    assert served.loader.router.artifact.manifest.version == second
    assert caplog.text.count("correctness.npy") == 1
    assert "the old version serves on" in caplog.text

    build(config.model_copy(update={"seed": 2}))  # mended under the same name
    served.loader.refresh()
    assert served.loader.router.artifact.manifest.version == third.manifest.version


def test_one_look_after_a_rollback_the_old_versions_decisions_are_back(
    folder: Path, served: Served
) -> None:
    prompts = [MATH, "Translate into Dutch: good morning.", "Write a Python function.", "", "hello"]

    def decisions() -> list[Decision]:
        asked = [served.loader.router.decide(prompt, models=MODELS) for prompt in prompts]
        return [*asked, served.loader.router.decide("", task="report-queries", models=MODELS)]

    before = decisions()
    config = load_config(folder / "config.yaml")
    build(config.model_copy(update={"seed": 1, "method": "paper"}), force=True)
    served.loader.refresh()
    assert decisions() != before
    Store(config.artifacts).rollback()
    served.loader.refresh()
    assert decisions() == before


def test_a_refused_version_is_tried_again_after_a_while_and_reported_once(
    folder: Path, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    first = served.loader.router.artifact.manifest.version
    config = load_config(folder / "config.yaml").model_copy(update={"seed": 1})
    second = build(config)
    away = (second.folder / "task.npy").rename(second.folder / ".away")  # as a volume that hangs
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            served.loader.refresh()
        assert served.loader.router.artifact.manifest.version == first
        away.rename(second.folder / "task.npy")
        for _ in range(30):
            served.loader.refresh()
    assert served.loader.router.artifact.manifest.version == second.manifest.version
    assert caplog.text.count("task.npy") == 1


def test_versions_whose_embedder_hangs_are_refused_take_two_threads_and_the_next_is_loaded(
    folder: Path, served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def warm_ups() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name.startswith("benchrouter-warm-up")]

    first = served.router.artifact.manifest.version
    config = load_config(folder / "config.yaml")
    hanging = Hanging(served.router.artifact.embedder.dimension)
    before = len(warm_ups())

    def read_with_it(folder: Path, **known: Any) -> Artifact:
        return replace(read_artifact(folder, **known), embedder=hanging)

    with monkeypatch.context() as patched:
        patched.setattr("litellm_benchrouter.serving.loader._WARM_UP_SECONDS", 2.0)
        patched.setattr("litellm_benchrouter.serving.loader.read_artifact", read_with_it)
        for seed in range(1, 6):
            build(config.model_copy(update={"seed": seed}))
            served.loader.refresh()
        assert len(warm_ups()) <= before + 2
    assert served.router.artifact.manifest.version == first
    assert caplog.text.count("gave no vector within 2 s") == 2
    assert caplog.text.count("the embedders of 2 versions before it still hang") == 3

    hanging.released.set()
    eventually(lambda: served.loader._warm_ups.unfinished == 0)
    last = build(config.model_copy(update={"seed": 6})).manifest.version
    served.loader.refresh()
    assert served.router.artifact.manifest.version == last


def test_the_watcher_finds_a_version_by_itself(tmp_path: Path) -> None:
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml")
    served = serve(tuned(tmp_path, poll_seconds=0.05))
    served.loader.start()
    try:
        built = build(config)
        router = eventually(lambda: served.loader.router)
        assert router.artifact.manifest.version == built.manifest.version
    finally:
        served.stop()
        assert served.loader._thread is not None
        served.loader._thread.join()  # or its next look is logged in another test


def test_a_worker_takes_one_thread_for_its_matrices(folder: Path) -> None:
    program = (
        "import sys, time, numpy\n"
        "from pathlib import Path\n"
        "from threadpoolctl import threadpool_info\n"
        "from litellm_benchrouter.config import load_config\n"
        "from litellm_benchrouter.serving.executor import Executor\n"
        "from litellm_benchrouter.serving.loader import VersionLoader\n"
        "config = load_config(Path(sys.argv[1]))\n"
        "serving = VersionLoader(config, Executor(config.serving))\n"
        "serving.start()\n"
        "while serving.router is None: time.sleep(0.01)\n"  # and its libraries are loaded
        "serving.stop()\n"
        "serving._thread.join()\n"
        "print({pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'})\n"
    )
    command = [sys.executable, "-c", program, str(folder / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "{1}"
