"""A build or an evaluation has the same bytes on a Ray cluster as here, whatever dies meanwhile."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conftest import Ended

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.engine import LOCAL, open_engine
from litellm_benchrouter.errors import EngineError, SourceError
from litellm_benchrouter.paper.neighbors import nearest_outside_task, normalize

from .conftest import Cluster

pytestmark = [
    # Ray's own, of the files and sockets that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
]

N_WORDED = 2_100  # more than one batch to embed
WORDS = "river stone bridge lamp garden market winter letter engine violin copper slate"


def on_ray(config: Path, cluster: Cluster) -> Built:
    """Build on a cluster that runs."""
    settings = {"engine": "ray", "ray_address": cluster.address}
    return build(load_config(config).model_copy(update=settings))


def worded(folder: Path, n: int) -> Path:
    """Write a benchmark to embed lexically, in two sources; return its configuration."""
    folder.mkdir()
    generator, words_of = np.random.default_rng(5), WORDS.split()
    task = np.arange(n) % 6
    skill = 0.4 + 0.4 * np.eye(6, 4)
    correct = (generator.random((n, 4)) < skill[task]).astype(int)
    for part in range(2):
        with (folder / f"part{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["sample_id", "task", "prompt", "ant", "bee", "cat", "dog"])
            for i in range(part, n, 2):
                words = generator.choice(words_of[2 * task[i] : 2 * task[i] + 3], 3)
                more = generator.choice(words_of, 4)
                prompt = " ".join([*words, *more, str(i)])
                table.writerow([f"s{i}", f"t{task[i]}", prompt, *correct[i]])
    return tiny.configure(
        folder,
        method="guarded",
        sources=[{"path": "part0.csv"}, {"path": "part1.csv"}],
        embedder={"kind": "lexical", "dimensions": 24},
        tasks={},
    )


def test_a_build_on_ray_has_the_version_of_the_local_one(
    tiny_built: Path, tmp_path: Path, cluster: Cluster
):
    config = tiny.write(tmp_path)

    built = on_ray(config, cluster)

    assert built.manifest.version == (tiny_built / "router_artifacts/CURRENT").read_text().strip()


def test_a_build_with_a_fitted_embedder_has_the_version_of_the_local_one(
    demo_built: Path, tmp_path: Path, cluster: Cluster
):
    copy_files(tmp_path)

    built = on_ray(tmp_path / "config.yaml", cluster)

    assert built.manifest.version == (demo_built / "router_artifacts/CURRENT").read_text().strip()


@pytest.fixture(scope="module")
def built_here(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Return the manifest of `worded`, built by the local engine."""
    folder = tmp_path_factory.mktemp("worded") / "here"
    return build(load_config(worded(folder, N_WORDED))).manifest


def test_workers_that_are_killed_change_nothing(
    built_here: Manifest,
    tmp_path: Path,
    cluster: Cluster,
    benchrouter: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
):
    from litellm_benchrouter.engine import ray as tasks

    config = worded(tmp_path / "there", N_WORDED)
    options = ["--engine", "ray", "--ray-address", cluster.address, "--json"]
    for module, name in ((tasks, "work"), (tasks, "_read"), (tasks, "_embed")):
        monkeypatch.setattr(module, name, dying_once(getattr(module, name), tmp_path / name))

    ended = benchrouter("build", "--config", config, *options)

    assert {path.name for path in tmp_path.iterdir()} == {"there", "work", "_read", "_embed"}
    assert ended.code == 0, ended.err
    assert ended.document["version"] == built_here.version
    assert ended.document["manifest"]["counts"] == built_here.counts


def dying_once(function: Callable[..., Any], mark: Path) -> Callable[..., Any]:
    """Return the function for workers, the first of which is killed when it begins.

    Nobody outside can kill it in time: a piece may take less than a look at the processes does.
    """

    def dies(*arguments: Any) -> Any:
        with suppress(FileExistsError):
            mark.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return dies


@pytest.mark.parametrize("protocols", [("task", "request")])
def test_an_evaluation_on_ray_writes_the_same_document(
    demo_built: Path,
    tmp_path: Path,
    cluster: Cluster,
    benchrouter: Callable[..., Ended],
    protocols: tuple[str, ...],
):
    written = {}
    for engine, options in {"local": [], "ray": ["--ray-address", cluster.address]}.items():
        file = tmp_path / f"{engine}.json"
        arguments = ["--config", demo_built / "config.yaml", "--runs", 2, "--json", file]
        for protocol in protocols:
            arguments += ["--protocol", protocol]
        ended = benchrouter("evaluate", *arguments, "--engine", engine, *options)
        assert ended.code == 0, ended.err
        written[engine] = file.read_bytes()

    assert written["ray"] == written["local"]


@pytest.mark.long
def test_every_protocol_writes_the_same_document_on_ray(
    demo_built: Path, tmp_path: Path, cluster: Cluster, benchrouter: Callable[..., Ended]
):
    protocols = ("task", "request", "cost", "labels", "distance", "few-labels", "robustness")
    test_an_evaluation_on_ray_writes_the_same_document(
        demo_built, tmp_path, cluster, benchrouter, protocols
    )


def test_neighbours_searched_in_blocks_are_the_same_bytes(cluster: Cluster):
    generator = np.random.default_rng(0)
    vectors = normalize(generator.normal(size=(9_000, 8)))  # six blocks
    task = generator.integers(5, size=len(vectors)).astype(np.int32)

    here = nearest_outside_task(vectors, task, 20, each=LOCAL.map)
    with open_engine("ray", cluster.address) as engine:
        there = nearest_outside_task(vectors, task, 20, each=engine.map)

    assert there.index.tobytes() == here.index.tobytes()
    assert there.distance.tobytes() == here.distance.tobytes()


def test_an_error_in_a_worker_is_the_users_sentence(tmp_path: Path, cluster: Cluster):
    config = worded(tmp_path / "broken", 60)
    (tmp_path / "broken/part1.csv").write_text("sample_id,prompt\n1,2\n")

    with pytest.raises(SourceError) as here:
        build(load_config(config))
    with pytest.raises(SourceError) as there:
        on_ray(config, cluster)

    assert str(there.value) == str(here.value)
    assert str(there.value).startswith("benchrouter.sources[1]: ")


def test_a_cluster_of_its_own_is_ended_with_the_command(
    built_here: Manifest, tmp_path: Path, plain_environment: dict[str, str]
):
    pytest.importorskip("ray", reason="needs ray, which `.[dev]` brings")
    program = (
        "import os, sys\n"
        "from litellm_benchrouter.cli import cli\n"
        "cli(['build', '--config', sys.argv[1], '--engine', 'ray', '--json'], "
        "standalone_mode=False)\n"
        "import ray\n"
        "assert not ray.is_initialized()\n"
        "assert os.environ['RAY_AUTH_MODE'] == 'token'\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(worded(tmp_path / "there", N_WORDED))],
        env=plain_environment,
        capture_output=True,
        text=True,
        timeout=600,  # of a command that hangs
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["version"] == built_here.version
    assert ended.stderr == ""  # Ray keeps its lines to its logs


def test_the_local_engine_imports_nothing_of_ray(tiny_built: Path):
    program = (
        "import sys\n"
        "from litellm_benchrouter.cli import cli\n"
        "cli(['build', '--config', sys.argv[1]], standalone_mode=False)\n"
        "cli(['evaluate', '--config', sys.argv[1], '--runs', '1'], standalone_mode=False)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'ray']\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tiny_built / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=600,  # of a command that hangs
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


def test_without_ray_the_way_out_is_said(
    tiny_built: Path, tmp_path: Path, plain_environment: dict[str, str]
):
    (tmp_path / "ray.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'ray'\", name='ray')\n"
    )
    path = os.pathsep.join([str(tmp_path), plain_environment.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [*tiny.COMMAND, "build", "--config", str(tiny_built / "config.yaml"), "--engine", "ray"],
        env=plain_environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,  # of a command that hangs
        check=False,
    )

    assert ended.returncode == 1
    assert 'pip install "litellm-benchrouter[ray]"' in ended.stderr
    assert "Traceback" not in ended.stderr


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """Listen on a port; None: accept nobody's words and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)  # should nobody come

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                return
            with connection, suppress(OSError):  # whoever came may leave at any time
                if answer is None:
                    connection.settimeout(20)
                    while connection.recv(100):
                        pass
                else:
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield server.getsockname()[1]
        finally:
            serving.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
@pytest.mark.usefixtures("cluster")
def test_a_server_that_is_not_ray_is_told_apart(answer: bytes | None):
    with (
        listening(answer) as port,
        pytest.raises(EngineError, match="no Ray cluster can be had"),
        open_engine("ray", f"127.0.0.1:{port}"),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--engine", "ray", "--ray-address", "127.0.0.1:1"], 1, "no Ray cluster can be had at"),
        (["--engine", "ray", "--ray-address", "ray://x:1"], 2, "one of Ray's client"),
        (["--engine", "ray", "--ray-address", "somewhere"], 2, "give HOST:PORT, auto, or local"),
        (["--ray-address", "auto"], 2, "the engine is local"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_a_wrong_address_is_one_sentence(
    tiny_built: Path,
    benchrouter: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    said: str,
):
    for command in ("build", "evaluate"):
        ended = benchrouter(command, "--config", tiny_built / "config.yaml", *options)

        assert ended.code == code
        assert re.fullmatch(r"Error: [^\n]+\n", ended.err), ended.err
        assert said in ended.err


@pytest.mark.usefixtures("cluster")
def test_the_configuration_names_the_engine(tmp_path: Path, benchrouter: Callable[..., Ended]):
    config = tiny.write(tmp_path, engine="ray", ray_address="127.0.0.1:1")

    assert benchrouter("build", "--config", config).code == 1
    assert benchrouter("build", "--config", config, "--engine", "ray").code == 1


def test_which_engine_is_no_part_of_the_version(tmp_path: Path):
    written: dict[str, Any] = {}
    for engine in ("local", "ray"):
        written[engine] = load_config(tiny.write(tmp_path, engine=engine)).parameters

    assert written["ray"] == written["local"]
