"""Time in a proxy as its test tells it: a busy machine neither uses it up nor lets it pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proxy.harness import ProxyProcess

# A callback beside the proxy's configuration, named before ours. Breakers go by hours that the test
# counts; the limits of decisions and embedders hold while the test says so.
TOLD_TIME = """
from pathlib import Path
from litellm.integrations.custom_logger import CustomLogger
from litellm_benchrouter.embedders.hosted import _InTime
from litellm_benchrouter.limits import Breaker
from litellm_benchrouter.serving.executor import Executor

hours, limited = Path("hours"), Path("limited")
made = Breaker.__init__

def clock():
    return 3600.0 * hours.stat().st_size if hours.exists() else 0.0

def limit(self):
    return vars(self)["limit"] if limited.exists() else 3600.0

def set_limit(self, seconds):
    vars(self)["limit"] = seconds

Breaker.__init__ = lambda self, *of, **how: made(self, *of, **how | {"clock": clock})
for kind in (Executor, _InTime):
    kind._limit = property(limit, set_limit)
handler = CustomLogger()
"""


def an_hour_later(proxy: ProxyProcess) -> None:
    """Let an hour pass for the breakers."""
    with (proxy.folder / "hours").open("a") as hours:
        hours.write("+")


@contextmanager
def limited(proxy: ProxyProcess) -> Iterator[None]:
    """Let decisions and embedders have no more time than the configuration gives them."""
    mark = proxy.folder / "limited"
    mark.touch()
    try:
        yield
    finally:
        mark.unlink()
