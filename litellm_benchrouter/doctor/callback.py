"""The hook: is it registered, does LiteLLM call it as it expects, and follow what it prefers?"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from litellm_benchrouter.views import Finding, Status, fail, ok, warn

MODULE = "litellm_benchrouter.hook"
HANDLER = f"{MODULE}.handler"
_LINE = f'litellm_settings: {{ callbacks: ["{HANDLER}"] }}'
_OTHER_LISTS = ("success_callback", "failure_callback", "service_callback", "post_call_rules")


def check_callback(path: Path, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the proxy of this YAML would call the hook, and call it rightly."""
    yield _registered(proxy)
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


def callbacks(proxy: Mapping[str, Any]) -> list[str]:
    """Return the names in `litellm_settings.callbacks`, also where it is no list."""
    said = _settings(proxy).get("callbacks")
    return [name for name in (said if isinstance(said, list) else [said]) if isinstance(name, str)]


def _settings(proxy: Mapping[str, Any]) -> Mapping[str, Any]:
    section = proxy.get("litellm_settings")
    return section if isinstance(section, Mapping) else {}


def _registered(proxy: Mapping[str, Any]) -> Finding:
    names = callbacks(proxy)
    if HANDLER in names:
        if not isinstance(_settings(proxy).get("callbacks"), list):
            return warn("callback", "is a bare name and leaves no room for others", f"say {_LINE}")
        if names.count(HANDLER) > 1:
            return warn("callback", "is listed twice, and runs twice", "list it once")
        return ok("callback", f"{HANDLER} is registered")
    for key in _OTHER_LISTS:
        others = _settings(proxy).get(key)
        if HANDLER in (others if isinstance(others, list) else [others]):
            return fail("callback", f"stands in {key}, where it only logs", f"say {_LINE}")
    near = [name for name in names if "benchrouter" in name]
    found = f"is spelled {near[0]!r}" if near else "is not registered, so nothing is routed"
    return fail("callback", found, f"say {_LINE}")


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
