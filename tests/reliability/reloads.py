"""Load one version after another in this process, and print what it holds on to, as JSON.

Arguments: the configuration, and how often to load. The collector of cycles runs only after the
routers were counted: what a version took must go with its last reference, because in a proxy the
collector may not come by for a long time.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import threading
from pathlib import Path

from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader

PROMPTS = ("Join two tables by customer", "Translate this sentence into Dutch", "What is 3 + 4?")


def held() -> dict[str, int]:
    routers = sum(isinstance(found, BenchRouter) for found in gc.get_objects())
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    memory = {line.split()[0].rstrip(":"): line.split()[1] for line in rollup.splitlines()[1:]}
    return {
        # Of this process alone: what it shares of libraries changes with who else runs.
        "kilobytes": int(memory["Anonymous"]) + int(memory["Swap"]),
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "routers": routers,
    }


async def main(config: Path, times: int) -> None:
    loaded = load_config(config)
    limits = loaded.serving.model_copy(update={"time_limit_ms": 3_600_000.0})
    executor = Executor(limits)
    serving = VersionLoader(loaded.model_copy(update={"serving": limits}), executor)
    versions = serving._store.versions()
    held_after = []
    for number, version in zip(range(times), itertools.cycle(versions), strict=False):
        serving._store.publish(version)
        serving.refresh()
        router = serving.router
        assert router is not None
        assert router.artifact.manifest.version == version
        for prompt in PROMPTS:
            for offer in (router.models, router.models[:3]):
                decision = await executor.run(router, prompt, None, sorted(offer))
                assert decision is not None
                assert decision.artifact == version
        del router, decision
        if number % (times // 20) == times // 20 - 1:
            held_after.append(held())
    json.dump(held_after, sys.stdout)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
