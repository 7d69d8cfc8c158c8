"""Python, the libraries, and the extras that the configuration needs."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor.callback import callbacks
from litellm_benchrouter.doctor.finding import Finding, fail, ok, warn

PACKAGE = "litellm-benchrouter"

_TO_SERVE = {"onnx": "onnx", "sentence-transformers": "sentence-transformers"}
_TO_BUILD = _TO_SERVE | {"onnx": "onnx-build", "static": "static"}
# hnswlib is compiled for the processor of the machine that installs it, and kills the process of
# another one; a child may die of it.
_TRY_HNSWLIB = """
import hnswlib, numpy
index = hnswlib.Index("ip", 64)
index.init_index(64)
index.add_items(numpy.eye(64, dtype="float32"))
index.knn_query(numpy.ones((1, 64), dtype="float32"), 3)
"""
_SECONDS = 60.0


def check(config: BenchRouterConfig, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    """Check Python, the requirements, hnswlib, and the extras."""
    yield _python()
    unmet = [text for text in map(_unmet, required()) if text]
    if unmet:
        yield fail("libraries", "; ".join(unmet), f"pip install --upgrade {PACKAGE}")
    else:
        names = ("numpy", "scikit-learn", "pydantic")
        yield ok("libraries", ", ".join(f"{name} {version(name)}" for name in names))
    yield _litellm()
    yield _hnswlib()
    yield from _extras(config.embedder.kind)
    if "prometheus" in callbacks(proxy):
        yield _extra("prometheus", "proxy", "the callback `prometheus`", only="prometheus-client")
    yield _extra("proxy", "proxy", "the proxy", only="litellm", warns=True)


def required(extra: str = "") -> list[Requirement]:
    """Return what the package requires, or one of its extras."""
    found = []
    for text in requires(PACKAGE) or []:
        wanted = Requirement(text)
        if wanted.marker is None or "extra" not in str(wanted.marker):
            applies = not extra and (wanted.marker is None or wanted.marker.evaluate())
        else:
            applies = bool(extra) and wanted.marker.evaluate({"extra": extra})
        if not applies:
            continue
        if wanted.name == PACKAGE:
            found += [each for inner in sorted(wanted.extras) for each in required(inner)]
        else:
            found.append(wanted)
    return found


def _unmet(wanted: Requirement) -> str:
    """Say what is wrong with a requirement; empty where it is met."""
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is not installed"
    if not wanted.specifier.contains(installed, prereleases=True):
        return f"{wanted.name} is {installed}, {wanted.specifier} is needed"
    for text in (requires(wanted.name) or []) if wanted.extras else []:
        inner = Requirement(text)
        if inner.marker is None or not any(
            inner.marker.evaluate({"extra": extra}) for extra in wanted.extras
        ):
            continue
        try:
            version(inner.name)  # its own pins are for pip to keep
        except PackageNotFoundError:
            return f"{inner.name} is not installed"
    return ""


def _python() -> Finding:
    running = platform.python_version()
    wanted = SpecifierSet(metadata(PACKAGE)["Requires-Python"])
    if not wanted.contains(running, prereleases=True):
        return fail("python", f"{running}, {wanted} is needed", "use another interpreter")
    return ok("python", running)


def _litellm() -> Finding:
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        return fail("litellm", "is not installed", f'pip install "{PACKAGE}[proxy]"')
    supported = next(each.specifier for each in required() if each.name == "litellm")
    if not supported.contains(installed, prereleases=True):
        return fail(
            "litellm", f"{installed}, {supported} is supported", f'pip install "litellm{supported}"'
        )
    return ok("litellm", f"{installed}; {supported} is supported")


def _hnswlib() -> Finding:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY_HNSWLIB],
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        found = f"searching 64 vectors took more than {_SECONDS:g} s"
        return fail("hnswlib", found, "try again when the machine is less busy")
    if done.returncode == 0:
        return ok("hnswlib", f"{version('hnswlib')} searches")
    said = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
    if done.returncode < 0:
        said = f"its process was killed by signal {-done.returncode}"
    return fail(
        "hnswlib",
        f"does not work: {said}",
        "install it for this processor: HNSWLIB_NO_NATIVE=1 pip install --force-reinstall "
        "--no-cache-dir --no-binary hnswlib hnswlib",
    )


def _extras(kind: str) -> Iterator[Finding]:
    serving, building = _TO_SERVE.get(kind), _TO_BUILD.get(kind)
    if building is None:
        yield ok("extras", f"the embedder {kind} needs none")
    if serving is not None:
        yield _extra("extras", serving, f"serving with the embedder {kind}")
    if building not in (None, serving):
        yield _extra("extras", building, f"building with the embedder {kind}", warns=True)


def _extra(check: str, extra: str, purpose: str, *, only: str = "", warns: bool = False) -> Finding:
    wanted = [each for each in required(extra) if not only or each.name == only]
    if not wanted:
        found = f"the installed {PACKAGE} knows no extra {extra}, which {purpose} needs"
        return fail(check, found, f'pip install --force-reinstall --no-deps "{PACKAGE}"')
    unmet = [text for text in map(_unmet, wanted) if text]
    if not unmet:
        return ok(check, f"{purpose} has what it needs")
    return (warn if warns else fail)(
        check, f"{purpose} needs more: {'; '.join(unmet)}", f'pip install "{PACKAGE}[{extra}]"'
    )
