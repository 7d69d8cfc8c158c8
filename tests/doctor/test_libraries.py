"""Python and the libraries."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor import libraries


def checks(**block: object) -> dict[str, libraries.Finding]:
    config = BenchRouterConfig.model_validate(block)
    return {finding.check: finding for finding in libraries.check(config, {})}


def test_an_installation_that_runs_its_tests_is_well() -> None:
    found = checks()
    assert {finding.status for finding in found.values()} == {"ok"}
    assert set(found) == {"python", "libraries", "litellm", "hnswlib", "extras", "proxy"}


def test_what_is_missing_and_what_is_too_old_is_named() -> None:
    assert libraries._unmet(Requirement("numpy>=1")) == ""
    assert (
        libraries._unmet(Requirement("nobody-wrote-this")) == "nobody-wrote-this is not installed"
    )
    old = libraries._unmet(Requirement("numpy>=99"))
    assert old.startswith("numpy is ")
    assert old.endswith(", >=99 is needed")


def test_an_extra_is_the_sum_of_those_that_it_names() -> None:
    names = {each.name for each in libraries.required("onnx-build")}
    assert {"onnxruntime", "tokenizers", "sentence-transformers", "onnx"} <= names
    assert "litellm" not in names
    assert "onnxruntime" not in {each.name for each in libraries.required()}


def test_an_embedder_whose_extra_is_missing_fails_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = libraries.version

    def without_onnxruntime(name: str) -> str:
        if name == "onnxruntime":
            raise libraries.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(libraries, "version", without_onnxruntime)
    serving, building = libraries._extras(
        BenchRouterConfig.model_validate({"embedder": {"kind": "onnx"}})
    )
    assert (serving.status, building.status) == ("fail", "warn")
    assert "onnxruntime is not installed" in serving.found
    assert serving.remedy == 'pip install "litellm-benchrouter[onnx]"'
    assert building.remedy == 'pip install "litellm-benchrouter[onnx-build]"'


@pytest.mark.parametrize(
    ("kind", "libraries_of_it"),
    [
        ("lexical", ()),
        ("static", ("model2vec",)),
        ("onnx", ("onnx", "onnxruntime", "sentence_transformers")),
        ("sentence-transformers", ("sentence_transformers",)),
    ],
)
def test_extras_that_are_installed_are_enough(kind: str, libraries_of_it: tuple[str, ...]) -> None:
    if missing := [name for name in libraries_of_it if find_spec(name) is None]:
        pytest.skip(f"needs {missing[0]}")
    found = list(libraries._extras(BenchRouterConfig.model_validate({"embedder": {"kind": kind}})))
    assert {finding.status for finding in found} == {"ok"}


def test_an_installation_older_than_the_extra_is_noticed() -> None:
    found = libraries._extra("extras", "of-tomorrow", "serving")
    assert (found.status, "knows no extra" in found.found) == ("fail", True)


@pytest.mark.parametrize("release", ["1.93.9", "1.999.0"])
def test_a_litellm_outside_of_what_was_tested_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr(libraries, "version", lambda name: release)
    found = libraries._litellm()
    assert found.status == "fail"
    assert f"{release}, " in found.found


@pytest.mark.parametrize("running", ["3.9.1", "3.99.0"])
def test_a_python_that_was_not_tested(monkeypatch: pytest.MonkeyPatch, running: str) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: running)
    assert libraries._python().status == "fail"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "killed by signal 4"),
        ("raise ImportError('libstdc++.so.6: not found')", "libstdc++.so.6: not found"),
    ],
)
def test_an_hnswlib_that_dies_does_not_take_the_doctor_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    (tmp_path / "hnswlib.py").write_text(f"{source}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = libraries._hnswlib()
    assert (found.status, words in found.found) == ("fail", True)
    assert "HNSWLIB_NO_NATIVE=1" in found.remedy
