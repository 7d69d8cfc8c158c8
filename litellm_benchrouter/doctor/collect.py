"""Kept prompts: can they be written where the configuration says, and be redacted before?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.config import BLOCK, BenchRouterConfig
from litellm_benchrouter.doctor.places import try_to_write, user_name
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.traffic.collect import is_function
from litellm_benchrouter.traffic.parts import PromptStore
from litellm_benchrouter.views import Finding, ok, warn

_TO, _REDACT = f"{BLOCK}.traffic.collect.to", f"{BLOCK}.traffic.collect.redact"
_LOST = "until then no prompt is kept; requests are routed"
_IMPORT_SECONDS = 30.0
# A module of the operator's may print, hang or end the process, which a child does alone.
_TRY_IMPORT = """
import os, sys
from importlib.metadata import EntryPoint
sys.path.append(os.getcwd())  # as LiteLLM's proxy does
if not callable(EntryPoint("redact", sys.argv[1], "").load()):
    sys.exit("it is no function")
print("\\nimported")
"""


def check_collect(config: BenchRouterConfig) -> Iterator[Finding]:
    """Check that prompts can be written, and that functions that redact them can be imported.

    The proxy does both: what is said is true of it where it runs as the user, in the environment
    and in the folder of who asks.
    """
    collect = None if config.traffic is None else config.traffic.collect
    if collect is None:
        return
    store = PromptStore(collect, config.storage_options)
    yield _url(store) if store.is_remote else _folder(store, Path(collect.to))
    for entry in filter(is_function, collect.redact):
        yield _function(entry)


def _folder(store: PromptStore, folder: Path) -> Finding:
    """Try to list and to write a folder, or to write where it would be made."""
    user = user_name()
    try:
        kept = "prompts" if store.holds_parts else "no prompts yet"
        try_to_write(folder)
    except OSError as error:
        return warn(
            "collect",
            f"{folder}: {user} cannot write prompts there ({error.strerror})",
            f"let the proxy's user write there, or name another folder in {_TO}; {_LOST}",
        )
    what = f"{folder} holds {kept}, and {user} can write there"
    return ok("collect", f"{what}; the proxy writes as its own user")


def _url(store: PromptStore) -> Finding:
    """Look at what is behind a URL, as the proxy does before it writes."""
    try:
        kept = "prompts" if store.holds_parts else "no prompts yet"
    except (BenchRouterError, OSError) as error:
        remedy = f"look at {_TO}, storage_options, network and credentials; {_LOST}"
        return warn("collect", str(error), remedy)
    what = f"{store.name} answers and holds {kept}"
    return ok("collect", f"{what}; writing was not tried, so that no object is left there")


def _function(entry: str) -> Finding:
    """Import a function of the operator's in a child, and call nothing."""
    command = [sys.executable, "-P", "-c", _TRY_IMPORT, entry]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        said = f"its import takes longer than {_IMPORT_SECONDS:.0f} s"
    else:
        if done.returncode == 0 and done.stdout.endswith("\nimported\n"):
            return ok("redact", f"{entry} can be imported from {Path.cwd()}; it was not called")
        said = (done.stderr.strip().splitlines() or [f"its import ends with {done.returncode}"])[-1]
    return warn(
        "redact",
        f"{entry} cannot be imported from {Path.cwd()} ({said})",
        f"install its module where the proxy runs, or correct {_REDACT}; {_LOST}",
    )
