"""The real LiteLLM proxy as a process of its own, with real clients to talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import openai
import yaml

MASTER_KEY = "sk-benchrouter-test-8c1f4e6a02d97b35"  # weak ones such as sk-1234 are refused

_STARTUP_LIMIT = 300.0  # seconds; about 6 on an idle machine, nearly all of it imports
_SHUTDOWN_LIMIT = 5.0
_REQUEST_LIMIT = 60.0
# What would make the proxy read a database, a cache, another config or a provider's real key.
_FOREIGN_VARIABLES = (
    "ANTHROPIC_", "AZURE_", "CONFIG_FILE_PATH", "DATABASE_", "DIRECT_URL", "LITELLM_", "OPENAI_",
    "OTEL_", "PROMETHEUS_", "REDIS_", "STORE_MODEL_IN_DB",
)  # fmt: skip

T = TypeVar("T")


def deployment(
    group: str, model: str, api_base: str, *, params: Mapping[str, Any] | None = None, **info: Any
) -> dict[str, Any]:
    """Return one entry of `model_list`.

    Parameters
    ----------
    group : str
        The name that clients ask for (`model_name`).
    model : str
        The name that the upstream sees; also the deployment's id, so that a test can tell from
        the `x-litellm-model-id` header who served.
    api_base : str
        The upstream's `base_url`.
    params : mapping, optional
        More `litellm_params`, such as `tags`, `order` or `rpm`.
    **info
        The `model_info`, such as `benchrouter_model="..."`.
    """
    return {
        "model_name": group,
        "litellm_params": {
            "model": f"openai/{model}",
            "api_base": api_base,
            "api_key": "sk-fake-upstream",
            **(params or {}),
        },
        "model_info": {"id": model, **info},
    }


def eventually(read: Callable[[], T | None], within: float = 20.0) -> T:
    """Return what `read` gives as soon as it is true; logging callbacks run after the response.

    Raises
    ------
    TimeoutError
        When it is still not true after `within` seconds.
    """
    deadline = time.monotonic() + within
    while not (value := read()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {value!r} after {within} s")
        time.sleep(0.05)
    return value


class ProxyProcess:
    """A running proxy; a context manager.

    Parameters
    ----------
    config : mapping
        The proxy's YAML as a mapping; it is written to `folder`.
    folder : Path
        An empty folder for the config and the log; also the working directory. A Python file put
        there beforehand can be named in `callbacks`.
    env : mapping, optional
        More environment variables for the process.
    workers : int
        How many worker processes to start (`--num_workers`).
    python : Path, optional
        Of the environment whose LiteLLM it is; default: this one.

    Attributes
    ----------
    base_url : str
        Where the proxy listens, without `/v1`.
    http : httpx.Client
        Sends the master key; relative paths are under `base_url`.
    openai : openai.OpenAI
        The real client; it does not retry, so that every request is one that the test made.
    pid : int
        Of the process; with several workers, of their parent.
    """

    base_url: str
    pid: int
    http: httpx.Client
    openai: openai.OpenAI

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        workers: int = 1,
        python: Path | None = None,
    ) -> None:
        self.folder = folder
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        self._log = folder / "proxy.log"
        self._env = env or {}
        self._workers = workers
        self._python = python or Path(sys.executable)
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # undone when anything below fails
            port = stack.enter_context(reserved_port())
            self.base_url = f"http://127.0.0.1:{port}"
            process = self._start(port)
            stack.callback(_stop, process)
            self.pid = process.pid
            self.http = stack.enter_context(
                httpx.Client(
                    base_url=self.base_url,
                    headers={"Authorization": f"Bearer {MASTER_KEY}"},
                    timeout=_REQUEST_LIMIT,
                    trust_env=False,
                )
            )
            self._wait_until_ready(process)
            self.openai = openai.OpenAI(
                base_url=f"{self.base_url}/v1",
                api_key=MASTER_KEY,
                max_retries=0,
                http_client=stack.enter_context(
                    httpx.Client(timeout=_REQUEST_LIMIT, trust_env=False)
                ),
            )
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def log(self) -> str:
        """Everything that the proxy has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        command = [
            *(str(self._python), "-m", "litellm.proxy.proxy_cli"),
            *("--config", str(self._config)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", str(self._workers)),
            # Without it, workers that need more than 5 seconds to import are killed and restarted.
            *("--timeout_worker_healthcheck", str(int(_STARTUP_LIMIT))),
            *("--telemetry", "False"),
        ]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # one group, so that workers end with their parent
            )

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(_FOREIGN_VARIABLES)
        }
        return {
            **inherited,
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks GitHub for prices, three times
            "LITELLM_MODE": "PRODUCTION",  # or it reads a .env file from a folder above
            "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            **self._env,
        }

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _STARTUP_LIMIT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the proxy ended with {process.returncode}:\n{self.log}")
            try:
                if self.http.get("/health/readiness").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
        raise TimeoutError(f"the proxy was not ready after {_STARTUP_LIMIT} s:\n{self.log}")


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a port of loopback that one server may listen on, and that nobody else is given.

    It stays bound here and is not listened on, so that connecting to it is refused until the server
    is there. Linux lets the server bind it too, as both sockets say SO_REUSEADDR.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port


def json_lines(path: Path) -> list[Any]:
    """Return the lines of a file that a proxy writes; none where there is no file yet.

    A line of which only a part is there may be read while it is written; it is left out.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_SHUTDOWN_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
