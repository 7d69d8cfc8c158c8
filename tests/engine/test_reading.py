"""Sources are read by Ray Data as they are read here: the same tables, errors and order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from litellm_benchrouter.embedders import load_embedder
from litellm_benchrouter.engine import LOCAL, Engine, open_engine
from litellm_benchrouter.errors import BenchRouterError, EngineError, SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources import SourceTable

from .conftest import Cluster

pytestmark = [
    # Ray's own, of the files and sockets that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
]


@pytest.fixture(scope="module")
def engine(cluster: Cluster) -> Iterator[Engine]:
    """Return the engine of a cluster that runs."""
    with open_engine("ray", cluster.address) as engine:
        yield engine


def test_tables_come_back_as_they_were_read(engine: Engine):
    def table(number: int) -> SourceTable:
        samples = pl.DataFrame(
            {"sample_id": [f"s{number}", "t"], "task": "ä", "prompt": ["a\0b", None]},
            schema_overrides={"task": pl.Categorical},
        )
        results = pl.DataFrame(
            {"row": [0, 1], "model": ["ant", "bee"], "score": [None, number]},
            schema={"row": pl.UInt32, "model": pl.Enum(["ant", "bee"]), "score": pl.Float64},
        )
        return SourceTable(
            samples,
            results,
            {"ant": ModelFacts(params_b=number)},
            Counter({"rows without a prompt": number}),
            n_rows=number,
        )

    here = list(LOCAL.read(table, range(3)))
    there = list(engine.read(table, range(3)))

    for one, other in zip(here, there, strict=True):
        assert_frame_equal(other.samples, one.samples)
        assert_frame_equal(other.results, one.results)
        assert other.models == one.models
        assert other.dropped == one.dropped
        assert type(other.dropped) is Counter
        assert other.n_rows == one.n_rows


def test_results_of_any_kind_come_back_as_they_are(engine: Engine):
    values = [None, (1, 2.0), {"a": (True,)}, "a\udc80", b"\0", [[1], []], 2**70]

    found = list(engine.read(values.__getitem__, range(len(values))))

    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_results_come_in_the_order_of_their_pieces(tmp_path: Path, engine: Engine):
    def waits_for_another(number: int) -> int:
        if number == 3:
            (tmp_path / "ended").touch()
        end = time.monotonic() + 60
        while number == 0 and not (tmp_path / "ended").exists():
            assert time.monotonic() < end, "nothing is read beside the first piece"
            time.sleep(0.01)
        return number

    assert list(engine.read(waits_for_another, range(12))) == list(range(12))


def test_a_worker_that_is_killed_while_it_reads_changes_nothing(tmp_path: Path, engine: Engine):
    def dies_once(number: int) -> int:
        if number == 2 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    found = list(engine.read(dies_once, range(6)))

    assert (tmp_path / "died").exists()
    assert found == list(range(6))


def test_a_piece_that_always_kills_its_worker_is_given_up(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("litellm_benchrouter.engine.ray.RETRIES", 1)

    def dies(number: int) -> int:
        if number == 1:
            with (tmp_path / "deaths").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(EngineError, match="died over the same piece of work"):
        list(engine.read(dies, range(3)))

    assert (tmp_path / "deaths").read_text() == "xx"


def test_the_first_error_in_order_is_raised_and_ends_the_reading(tmp_path: Path, engine: Engine):
    def fails(number: int) -> int:
        if number in (1, 2):
            time.sleep(0.3 if number == 1 else 0)
            raise SourceError(f"source {number} is {{broken}}")
        if number > 2:
            time.sleep(0.2)
        (tmp_path / f"{number}.read").touch()
        return number

    found = []
    with pytest.raises(SourceError) as raised:
        found.extend(engine.read(fails, range(60)))
    # What is asked next does not wait for what nobody reads any more.
    assert list(engine.map(abs, [-1, -2])) == [1, 2]

    assert str(raised.value) == "source 1 is {broken}"
    assert found == [0]
    assert len(list(tmp_path.glob("*.read"))) < 57


def test_an_embedder_that_a_worker_cannot_load_is_our_error(tmp_path: Path, engine: Engine):
    class Lost:
        kind, dimension, cacheable = "lexical", 8, False

        def identity(self) -> dict[str, object]:
            return {"kind": "lexical", "dimension": 8, "fingerprint": "of nothing"}

        def save(self, folder: Path) -> None:
            """Write nothing."""

    with pytest.raises(BenchRouterError) as here:
        load_embedder(Lost().identity(), tmp_path)
    with pytest.raises(BenchRouterError) as there:
        list(engine.embed(Lost(), [["a"], ["b"]]))  # type: ignore[arg-type]

    assert type(there.value) is type(here.value)


@contextmanager
def one_machine_more(cluster: Cluster) -> Iterator[None]:
    """Let another machine join, as far as Ray can tell."""
    import ray

    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=2"]
    options = [f"--address={cluster.address}", "--node-ip-address=127.0.0.2"]
    joined = subprocess.Popen(
        [*command, *options, "--object-store-memory=80000000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while ray.cluster_resources()["CPU"] < 4:
            assert joined.poll() is None, "the machine has ended"
            assert time.monotonic() < end, "the machine has not joined"
            time.sleep(0.1)
        yield
    finally:
        family = Cluster("", joined.pid).processes()
        joined.terminate()
        joined.wait()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_files_are_read_on_the_machine_of_the_command(
    tmp_path: Path, engine: Engine, cluster: Cluster
):
    def where(number: int) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def where_two_meet(number: int) -> str:
        import ray

        node = str(ray.get_runtime_context().get_node_id())
        (tmp_path / node).touch()
        end = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < end, "the other machine is given no work"
            time.sleep(0.01)
        return node

    with one_machine_more(cluster):
        import ray

        own = ray.get_runtime_context().get_node_id()
        read = set(engine.read(where, range(12)))
        mapped = set(engine.map(where_two_meet, range(12)))

    assert read == {own}
    assert len(mapped) == 2


def test_where_the_cluster_has_no_processors_here_the_command_reads(
    plain_environment: dict[str, str],
):
    pytest.importorskip("ray", reason="needs ray, which `.[dev]` brings")
    program = (
        "import os, ray\n"
        "from litellm_benchrouter.engine import open_engine\n"
        "ray.init('local', num_cpus=0, include_dashboard=False, _node_ip_address='127.0.0.1')\n"
        "with open_engine('ray') as engine:\n"
        "    found = set(engine.read(lambda number: os.getpid(), range(3)))\n"
        "assert found == {os.getpid()}\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=plain_environment | {"RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
