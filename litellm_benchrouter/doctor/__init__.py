"""`benchrouter doctor`: is this installation fit to route?

Here are Python, the libraries that the configuration needs, and the hook.
"""

from __future__ import annotations

import inspect
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.doctor import proxy, version
from litellm_benchrouter.doctor.collect import check_collect
from litellm_benchrouter.doctor.feedback import check_feedback
from litellm_benchrouter.doctor.proxy import callbacks, part
from litellm_benchrouter.views import Finding, Status, fail, ok, warn

__all__ = ["Finding", "Status", "diagnose"]

MODULE = "litellm_benchrouter.hook"
HANDLER = f"{MODULE}.handler"
_LINE = f'litellm_settings: {{ callbacks: ["{HANDLER}"] }}'
_OTHER_LISTS = ("success_callback", "failure_callback", "service_callback", "post_call_rules")
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

    Nothing is changed or downloaded, no provider is called, and no secret is read but those of a
    Redis that is asked for an answer. Raises ConfigError where the YAML cannot be read, or its
    `benchrouter:` block is wrong.
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
    yield from check_collect(config)
    yield from check_feedback(config, artifact)


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


def check_callback(path: Path, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the proxy of this YAML would call the hook, and call it rightly."""
    yield _registered(settings)
    shadow = path.resolve().parent / (MODULE.replace(".", "/") + ".py")
    if shadow.exists() and not shadow.samefile(Path(__file__).parents[1] / "hook.py"):
        yield fail(
            "callback",
            f"LiteLLM runs {shadow} in place of the installed package",
            "move it, or the configuration, to another folder",
        )
    importable = _importable()
    yield importable
    if importable.status is Status.OK:
        yield _follows()


def _registered(settings: Mapping[str, Any]) -> Finding:
    names = callbacks(settings)
    if HANDLER in names:
        if not isinstance(part(settings, "litellm_settings").get("callbacks"), list):
            return warn("callback", "is a bare name and leaves no room for others", f"say {_LINE}")
        if names.count(HANDLER) > 1:
            return warn("callback", "is listed twice, and runs twice", "list it once")
        return ok("callback", f"{HANDLER} is registered")
    for key in _OTHER_LISTS:
        others = part(settings, "litellm_settings").get(key)
        if HANDLER in (others if isinstance(others, list) else [others]):
            return fail("callback", f"stands in {key}, where it only logs", f"say {_LINE}")
    near = [name for name in names if "benchrouter" in name]
    what = f"is spelled {near[0]!r}" if near else "is not registered, so nothing is routed"
    return fail("callback", what, f"say {_LINE}")


def _importable() -> Finding:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hook = type(import_module(MODULE).handler)
            base = import_module("litellm.integrations.custom_logger").CustomLogger
    except Exception as error:
        return fail(
            "hooks",
            f"the callback cannot be imported ({type(error).__name__}: {error}); a proxy would "
            "not start",
            'pip install "litellm-benchrouter[proxy]"',
        )
    wrong = [
        name for name in vars(hook) if name.startswith("async_") and _differs(hook, base, name)
    ]
    if wrong:
        return fail(
            "hooks",
            f"this LiteLLM calls {', '.join(wrong)} in another way than the plugin expects",
            "install a LiteLLM that is supported (docs/compatibility.md)",
        )
    return ok("hooks", "LiteLLM calls them as the plugin expects")


def _follows() -> Finding:
    """Try, on a router of mock deployments, whether LiteLLM serves what the plugin prefers."""
    from litellm_benchrouter.proxy.canary import litellm_version, working

    with warnings.catch_warnings():  # LiteLLM's own, of libraries that it was not made for
        warnings.simplefilter("ignore")
        maker = working(import_module(MODULE).handler)
    if maker is None:
        return fail(
            "preferences",
            f"LiteLLM {litellm_version()} serves other deployments than the plugin prefers, so "
            "requests pass through",
            "install a LiteLLM that is supported (docs/compatibility.md)",
        )
    return ok("preferences", f"LiteLLM {litellm_version()} follows them, stated by {maker.name}")


def _differs(hook: type, base: type, name: str) -> bool:
    theirs = getattr(base, name, None)
    if theirs is None:
        return True
    ours = inspect.signature(getattr(hook, name)).parameters
    return list(inspect.signature(theirs).parameters) != list(ours)
