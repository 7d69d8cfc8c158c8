"""Kept prompts: whether they can be written, and whether functions that redact can be imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.config import parse_config
from litellm_benchrouter.doctor.collect import check_collect
from litellm_benchrouter.views import Finding

MODULES = {
    "good": "print('noise')\ndef redact(text):\n    raise RuntimeError('not to be called')\n",
    "ends": "import sys\nsys.exit(0)\n",
    "lacks": "import a_module_that_nobody_has\n",
    "text": "redact = 'a text'\n",
}


def findings(folder: Path, **collect: Any) -> list[Finding]:
    config = parse_config({"traffic": {"collect": collect}}, folder=folder)
    found = list(check_collect(config))
    assert all(bool(finding.remedy) is (finding.status != "ok") for finding in found)
    return found


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path)
    assert (finding.check, finding.status.value) == ("collect", "ok")
    assert str(tmp_path / "router_traffic") in finding.found
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    (finding,) = findings(tmp_path, to="kept")
    assert finding.status.value == "ok"
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.parametrize("to", ["file", "file/kept", "/proc/kept"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, to: str) -> None:
    (tmp_path / "file").write_text("")
    (finding,) = findings(tmp_path, to=to)
    assert (finding.check, finding.status.value) == ("collect", "warn")
    assert str(tmp_path / to) in finding.found
    assert "benchrouter.traffic.collect.to" in finding.remedy


def test_a_url_is_read_and_what_was_not_tried_is_said(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, to="memory://doctor/kept")
    assert finding.status.value == "ok"
    assert "writing was not tried" in finding.found
    (finding,) = findings(tmp_path, to="nosuchstore://doctor/kept")
    assert finding.status.value == "warn"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("good:redact", None),
        ("good:other", "AttributeError"),
        ("ends:redact", "ends with 0"),
        ("lacks:redact", "No module named 'a_module_that_nobody_has'"),
        ("text:redact", "no function"),
        ("absent.module:redact", "No module named 'absent'"),
    ],
)
def test_functions_are_imported_as_the_proxy_would_and_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, said: str | None
) -> None:
    for name, content in MODULES.items():
        (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.chdir(tmp_path)  # LiteLLM's proxy imports from the folder that it is started in
    _, finding = findings(tmp_path, redact=["email", r"a\w:b", entry])
    assert (finding.check, finding.status.value) == ("redact", "warn" if said else "ok")
    assert entry in finding.found
    assert (said or "not called") in finding.found


def test_nothing_is_said_where_nothing_is_kept(tmp_path: Path) -> None:
    assert not list(check_collect(parse_config({"traffic": {"feedback": {}}}, folder=tmp_path)))
    assert not list(check_collect(parse_config({}, folder=tmp_path)))
