"""What runs in a decision process: one version, one question after the other.

Started by `process.py` as `python -m litellm_benchrouter.serving.process_main SOCKET FOLDER`. The
end of the socket is the end of the proxy, and of this process.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.costs import Prices
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.process import LONGEST_MESSAGE


def main(descriptor: int, folder: Path) -> None:
    """Answer until the proxy is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the proxy ends first
    threadpool_limits(limits=1)
    with socket.socket(fileno=descriptor) as connection:
        try:
            router = BenchRouter(read_artifact(folder))
            router.decide("warm up")
        except (BenchRouterError, OSError) as error:
            _say(connection, {"failed": str(error)[:1000]})
            while connection.recv(LONGEST_MESSAGE):
                pass  # an end with something unread would take the reason along
            return
        _say(connection, {"ready": True})
        while said := connection.recv(LONGEST_MESSAGE):
            message = json.loads(said)
            if "prepare" in message:  # beside the answers, which do not wait for it
                work = threading.Thread(
                    target=_prepare, args=(connection, router, message["prepare"]), daemon=True
                )
                work.start()
            else:
                connection.send(_answered(router, message))


def _prepare(connection: socket.socket, router: BenchRouter, models: list[str]) -> None:
    router.prepare(models)
    _say(connection, {"prepared": models})


def _answered(router: BenchRouter, asked: Mapping[str, Any]) -> bytes:
    """Decide; without a decision the proxy's process takes it, and reports what is wrong."""
    number = asked["number"]
    with suppress(Exception):
        terms = Terms(
            Policy(*asked["policy"]),
            asked["note"],
            tuple((model, Prices(*amounts)) for model, *amounts in asked["prices"]),
            asked["characters"],
        )
        decision = router.decide(
            asked["prompt"], task=asked["task"], models=asked["models"], terms=terms
        )
        answer = json.dumps({"number": number, "decision": vars(decision)}).encode()
        if len(answer) <= LONGEST_MESSAGE:
            return answer
    return json.dumps({"number": number, "decision": None}).encode()


def _say(connection: socket.socket, message: Mapping[str, Any]) -> None:
    connection.send(json.dumps(message).encode())


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), Path(sys.argv[2]))
    except ConnectionError:
        sys.exit(0)  # the proxy is gone
