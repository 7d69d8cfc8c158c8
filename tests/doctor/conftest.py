"""What an installation of this checkout says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement


@pytest.fixture(autouse=True)
def installed_as_in_pyproject(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the package's metadata be those of pyproject.toml, however old the installation is."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {project['version']}"]
    lines.append(f"Requires-Python: {project['requires-python']}")
    lines += [f"Classifier: {classifier}" for classifier in project["classifiers"]]
    lines += [f"Requires-Dist: {text}" for text in project["dependencies"]]
    for extra, texts in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for wanted in map(Requirement, texts):
            condition = f"extra == '{extra}'"
            marker = f"({wanted.marker}) and {condition}" if wanted.marker else condition
            wanted.marker = None
            lines.append(f"Requires-Dist: {wanted}; {marker}")
    site = tmp_path_factory.mktemp("site")
    folder = site / f"litellm_benchrouter-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(site)
