"""`benchrouter doctor`: is this installation fit to route?"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.doctor import proxy, version
from litellm_benchrouter.doctor.callback import check_callback
from litellm_benchrouter.views import Finding, Status, fail, ok, warn

__all__ = ["Finding", "Status", "diagnose"]

PACKAGE = "litellm-benchrouter"
_EXTRAS = {  # what an embedder needs to serve, and more to build
    "onnx": ("onnx", "onnx-build"),
    "sentence-transformers": ("sentence-transformers", "sentence-transformers"),
    "static": ("", "static"),
}
# hnswlib is compiled for the processor of the machine that installs it, and kills the process of
# another one; a child may die of it.
_TRY_HNSWLIB = """
import hnswlib, numpy
index = hnswlib.Index("ip", 64)
index.init_index(64)
index.add_items(numpy.eye(64, dtype="float32"))
index.knn_query(numpy.ones((1, 64), dtype="float32"), 3)
"""


def diagnose(path: Path) -> Iterator[Finding]:
    """Check an installation by the proxy's YAML; findings come one by one, as some take seconds.

    Nothing is changed or downloaded, no provider is called, and no secret is read. Raises
    ConfigError where the YAML cannot be read, or its `benchrouter:` block is wrong.
    """
    config, settings = load_config(path), read_proxy_yaml(path)
    yield from check_libraries(config)
    yield from check_callback(path, settings)
    yield from proxy.check_settings(config, settings)
    yield from version.check_directory(config)
    models, artifact = yield from version.check_version(config)
    if models:
        yield from proxy.check_deployments(config, settings, models)
    if artifact is not None:
        yield from version.check_decisions(config, settings, artifact)


def check_libraries(config: BenchRouterConfig) -> Iterator[Finding]:
    """Check Python, what the package and the embedder require, and that hnswlib searches."""
    running, wanted = (
        platform.python_version(),
        SpecifierSet(metadata.metadata(PACKAGE)["Requires-Python"]),
    )
    if wanted.contains(running, prereleases=True):
        yield ok("python", running)
    else:
        yield fail("python", f"{running}, {wanted} is needed", "use another interpreter")
    serving, building = _EXTRAS.get(config.embedder.kind, ("", ""))
    yield _needs("libraries", "", "the package")
    yield _needs("litellm", "proxy", "the proxy")
    if serving:
        yield _needs("extras", serving, f"serving with the embedder {config.embedder.kind}")
    if building and building != serving:
        yield _needs("extras", building, f"building with the embedder {config.embedder.kind}", warn)
    yield _hnswlib()


def unmet(extra: str = "") -> list[str]:
    """Say which requirements of the package, or of one of its extras, are not met."""
    problems = []
    for wanted in map(Requirement, metadata.requires(PACKAGE) or ()):
        of_extra = wanted.marker is not None and "extra" in str(wanted.marker)
        if of_extra is not bool(extra) or (
            wanted.marker is not None and not wanted.marker.evaluate({"extra": extra})
        ):
            continue
        if wanted.name == PACKAGE:
            problems += [each for inner in sorted(wanted.extras) for each in unmet(inner)]
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{wanted.name} is not installed")
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            problems.append(f"{wanted.name} is {installed}, {wanted.specifier} is needed")
    return problems


def _needs(check: str, extra: str, purpose: str, otherwise: Any = fail) -> Finding:
    problems = unmet(extra)
    if problems:
        install = f'pip install "{PACKAGE}[{extra}]"' if extra else f"pip install -U {PACKAGE}"
        return otherwise(check, f"{purpose} needs more: {'; '.join(problems)}", install)  # type: ignore[no-any-return]
    of_proxy = f"; LiteLLM {metadata.version('litellm')}" if extra == "proxy" else ""
    return ok(check, f"{purpose} has what it needs{of_proxy}")


def _hnswlib() -> Finding:
    command = [sys.executable, "-c", _TRY_HNSWLIB]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return ok("hnswlib", f"{metadata.version('hnswlib')} searches")
    said = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
    if done.returncode < 0:
        said = f"its process was killed by signal {-done.returncode}"
    return fail(
        "hnswlib",
        f"does not work: {said}",
        "install it for this processor: HNSWLIB_NO_NATIVE=1 pip install --force-reinstall "
        "--no-cache-dir --no-binary hnswlib hnswlib",
    )
