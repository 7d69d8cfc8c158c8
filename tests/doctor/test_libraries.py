"""Python and the libraries."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import pytest

from litellm_benchrouter import doctor
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.views import Finding


def found_for(kind: str = "lexical") -> list[Finding]:
    config = BenchRouterConfig.model_validate({"embedder": {"kind": kind}})
    return list(doctor.check_libraries(config))


def test_an_installation_that_runs_its_tests_is_well() -> None:
    found = found_for()
    assert [(finding.check, finding.status) for finding in found] == [
        (check, "ok") for check in ("python", "libraries", "litellm", "hnswlib")
    ]


def test_what_is_missing_and_what_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "numpy" else installed(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.check: finding for finding in found_for("onnx")}
    serving, building = [each for each in found_for("onnx") if each.check == "extras"]
    assert "numpy is 0.1, >=" in found["libraries"].found
    assert "onnxruntime is not installed" in serving.found
    assert (serving.status, serving.remedy) == ("fail", 'pip install "litellm-benchrouter[onnx]"')
    assert (building.status, building.remedy) == (
        "warn",
        'pip install "litellm-benchrouter[onnx-build]"',
    )


def test_a_python_that_is_too_old_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.1")
    assert (found_for()[0].check, found_for()[0].status) == ("python", "fail")


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
    found = doctor._hnswlib()
    assert (found.status, words in found.found) == ("fail", True)
    assert "HNSWLIB_NO_NATIVE=1" in found.remedy
