"""The artifact directory and the version that serves, well and damaged."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tiny

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.doctor import version
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.views import Finding


def directory(config: BenchRouterConfig) -> dict[str, Finding]:
    return {finding.check: finding for finding in version.check_directory(config)}


def version_of(config: BenchRouterConfig) -> tuple[dict[str, Finding], Artifact | None]:
    checking, found = version.check_version(config), {}
    while True:
        try:
            finding = next(checking)
        except StopIteration as ended:
            return found, ended.value[1]
        found[finding.check] = finding


def statuses(found: dict[str, Finding]) -> dict[str, str]:
    assert all(bool(finding.remedy) is (finding.status != "ok") for finding in found.values())
    return {check: finding.status.value for check, finding in found.items()}


def config_of(folder: Path, **block: Any) -> BenchRouterConfig:
    return load_config(tiny.configure(folder, **block))


def test_a_built_directory_is_well(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    rewritten(config, warnings=[])  # one label in ten is missing
    assert statuses(directory(config)) == {"directory": "ok", "builds": "ok", "disk": "ok"}
    found, artifact = version_of(config)
    assert set(statuses(found).values()) == {"ok"}
    assert {"version", "age", "settings"} <= set(found)
    assert artifact is not None


def test_before_the_first_build_there_is_no_version(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert statuses(directory(config))["directory"] == "ok"
    found, artifact = version_of(config)
    assert (statuses(found), artifact) == ({"version": "fail"}, None)
    assert not config.artifacts.exists()


def test_a_damaged_file_is_named(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    path = next(config.artifacts.glob("versions/*/task.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found, artifact = version_of(config)
    assert (statuses(found), artifact) == ({"version": "fail"}, None)
    assert "task.npy" in found["version"].found
    assert "rollback" in found["version"].remedy


def test_settings_that_the_version_was_not_built_with_are_named_one_by_one(
    tiny_folder: Path,
) -> None:
    config = config_of(
        tiny_folder,
        method="guarded",
        routing={"alphas": [0.0, 0.1], "repeats": 2, "k": 7},
        index={"ef": 65},
        tasks={"newer": {"inputs": "new.txt"}},
        embedder={"kind": "lexical"},
    )
    found, artifact = version_of(config)
    said = found["settings"].found
    assert found["settings"].status == "warn"
    for words in (
        "k was 5, is 7",
        "index.ef was 64, is 65",
        "method was paper, is guarded",
        "embedder was precomputed, is lexical",
        "tasks lack newer",
    ):
        assert words in said
    assert "sigma" not in said
    assert artifact is not None


def test_another_size_of_the_lexical_embedder_is_noticed(demo_built: Path) -> None:
    config = load_config(demo_built / "config.yaml")
    smaller = config.embedder.model_copy(update={"dimensions": 16})
    assert version_of(config)[0]["settings"].status == "ok"
    found, _ = version_of(config.model_copy(update={"embedder": smaller}))
    assert found["settings"].found.endswith("embedder.parameters.dimensions was 256, is 16")


def test_an_old_version_is_a_warning(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    rewritten(config, created_at=(datetime.now(UTC) - timedelta(days=100)).isoformat())
    found, artifact = version_of(config)
    assert (found["age"].status, "100 days ago" in found["age"].found) == ("warn", True)
    assert artifact is not None


@pytest.mark.parametrize(("hours", "status"), [(0.5, "ok"), (30, "warn")])
def test_a_version_of_tomorrow_says_that_a_clock_is_wrong(
    tiny_folder: Path, hours: float, status: str
) -> None:
    config = config_of(tiny_folder)
    rewritten(config, created_at=(datetime.now(UTC) + timedelta(hours=hours)).isoformat())
    age = version_of(config)[0]["age"]
    assert (age.status, "-1 days" in age.found) == (status, False)


@pytest.mark.parametrize(
    ("verdict", "status", "words"),
    [
        ({"passes": True, "forced": False}, "ok", "passed"),
        ({"passes": False, "forced": True}, "warn", "by force"),
        ({"passes": False, "forced": False}, "warn", "serves all the same"),
    ],
)
def test_the_verdict_of_the_version_is_told(
    tiny_folder: Path, verdict: dict[str, Any], status: str, words: str
) -> None:
    config = config_of(tiny_folder)
    rewritten(config, verdict=verdict)
    found = version_of(config)[0]["verdict"]
    assert (found.status, words in found.found) == (status, True)


def test_what_the_build_warned_of_is_told(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    rewritten(config, warnings=["a.csv: one thing.", "Another thing."])
    found = version_of(config)[0]["benchmark"]
    assert (found.status, found.found) == (
        "warn",
        "the build warned: a.csv: one thing (and 1 more)",
    )
    assert "benchrouter inspect" in str(found)


def test_an_embedder_that_cannot_be_loaded_fails_alone(
    tiny_folder: Path,
) -> None:
    config = config_of(tiny_folder)
    identity = {"kind": "from-the-future", "dimension": 8, "fingerprint": ""}
    rewritten(config, embedder=identity)
    found, artifact = version_of(config)
    assert (found["version"].status, found["embedder"].status) == ("ok", "fail")
    assert "from-the-future" in found["embedder"].found
    assert artifact is None


def test_builds_that_run_and_builds_that_were_killed(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    with Store(config.artifacts).building():
        assert "is running" in directory(config)["builds"].found
    left = config.artifacts / "versions" / ".building-x1"
    left.mkdir()
    killed = directory(config)["builds"]
    assert (killed.status, "1 that were killed" in killed.found) == ("warn", True)
    with Store(config.artifacts).building():
        pass  # looking did not stop the next build, which removed it
    assert directory(config)["builds"].status == "ok"


def test_a_disk_without_room_is_a_warning(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "_LEAST_FREE", 10**18)
    assert directory(config_of(tiny_folder))["disk"].status == "warn"


def test_a_file_in_the_place_of_the_directory_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    config = config_of(tmp_path, artifacts="taken")
    assert directory(config)["directory"].status == "fail"


def test_who_may_not_write_can_serve_and_who_may_not_read_cannot() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path is inside of a folder that is private
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "artifacts"
        root.mkdir()
        for mode, status in ((0o555, "warn"), (0o311, "fail"), (0o777, "ok")):
            root.chmod(mode)
            with an_ordinary_user():
                assert version._access(root, root).status == status
        root.chmod(0o755)


def test_a_user_without_a_name_is_told_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unnamed() -> str:
        raise KeyError("getpwuid(): uid not found: 1000740000")

    monkeypatch.setattr(getpass, "getuser", unnamed)
    found = version._access(tmp_path, tmp_path)
    assert (found.status, f"user {os.getuid()}" in found.found) == ("ok", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "checks"), [(0o755, "directory builds disk"), (0o700, "directory")]
)
def test_a_user_without_a_passwd_entry_or_a_home_is_looked_after(mode: int, checks: str) -> None:
    code = """if True:
        import os, sys
        from pathlib import Path
        from litellm_benchrouter.config import load_config
        from litellm_benchrouter.doctor import version
        config = load_config(Path(sys.argv[1]))
        os.setuid(1000740000)
        print(*(finding.check for finding in version.check_directory(config)))
        """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text("benchrouter: {}\n")
        folder.chmod(mode)
        command = [sys.executable, "-c", code, str(folder / "config.yaml")]
        names = ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME")
        env = {key: value for key, value in os.environ.items() if key not in names}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert (ran.stdout.strip(), ran.stderr) == (checks, "")


def test_what_is_behind_a_url_is_not_downloaded(tiny_folder: Path, tmp_path: Path) -> None:
    url = f"file://{tiny_folder / 'router_artifacts'}"
    config = config_of(tiny_folder, artifacts=url, artifacts_cache=str(tmp_path / "copies"))
    found, artifact = version_of(config)
    assert (found["version"].status, artifact) == ("ok", None)
    assert "will copy its" in found["version"].found
    assert not (tmp_path / "copies").exists()
    store = open_store(config)
    store.fetch(store.current() or "")
    assert version_of(config)[1] is not None


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Lay down root's rights, where the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def rewritten(config: BenchRouterConfig, **changes: Any) -> None:
    """Change the manifest of the version that serves, and seal it again."""
    store = Store(config.artifacts)
    folder = store.folder(store.current() or "")
    document = tiny.read_document(folder) | changes
    tiny.write_manifest(folder, document)
    target = store.folder(document["version"])
    if target != folder:
        shutil.move(folder, target)
        (config.artifacts / "CURRENT").write_text(f"{document['version']}\n")


# Decisions


def decided(config: BenchRouterConfig, proxy: dict[str, Any]) -> dict[str, Finding]:
    artifact = version_of(config)[1]
    assert artifact is not None
    return {finding.check: finding for finding in version.check_decisions(config, proxy, artifact)}


def test_decisions_of_the_demo_come_in_time(demo_built: Path) -> None:
    config = load_config(demo_built / "config.yaml")
    found = decided(config, {})
    assert statuses(found) == {"embedder": "ok", "decisions": "ok"}
    assert found["embedder"].found.startswith("lexical gives vectors of ")


def test_late_decisions_fail(demo_built: Path) -> None:
    config = load_config(demo_built / "config.yaml")
    hurried = config.serving.model_copy(update={"time_limit_ms": 1e-6})
    found = decided(config.model_copy(update={"serving": hurried}), {})["decisions"]
    assert (found.status, "most are late" in found.found) == ("fail", True)


def test_vectors_without_an_embedder_route_named_tasks_only(tiny_folder: Path) -> None:
    found = decided(config_of(tiny_folder), {})["embedder"]
    assert (found.status, "named tasks" in found.found) == ("warn", True)


@pytest.mark.parametrize(("limit", "status"), [(150, "ok"), (200, "warn")])
def test_a_hosted_embedder_is_not_asked(tiny_folder: Path, limit: float, status: str) -> None:
    identity = {
        "kind": "litellm",
        "model": "vectors",
        "upstream": "vectors",
        "dimension": 8,
        "dimensions": None,
        "max_tokens": 2000,
        "fingerprint": "",
    }
    hosted = {"kind": "litellm", "model": "vectors", "time_limit_ms": limit}
    config = config_of(tiny_folder, embedder=hosted)
    (tiny_folder / "config.yaml").write_text(
        (tiny_folder / "config.yaml").read_text()
        + "model_list: [{model_name: vectors, litellm_params: {model: openai/vectors}}]\n"
    )
    rewritten(config, embedder=identity)
    found = decided(load_config(tiny_folder / "config.yaml"), {})
    assert statuses(found) == {"embedder": status}
    assert "is not asked" in found["embedder"].found
