"""What LiteLLM needs to know keys and teams: PostgreSQL with its tables, and Prisma's engine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proxy.harness import reserved_port

_HERE = Path(__file__).parent / "query_engine"
_STARTUP_LIMIT = 30.0
_GENERATOR = """generator client {
  provider = "prisma-client-py"
  recursive_type_depth = -1
  output = "%s"
"""


class UnavailableError(Exception):
    """Something that the database needs is not installed here; the message says what."""


class Database:
    """A private PostgreSQL server with LiteLLM's tables; a context manager.

    Parameters
    ----------
    cache : Path
        Where the query engine and the Python client are kept for the next run.

    Attributes
    ----------
    environment : dict of str to str
        What a proxy needs to use it.
    """

    def __init__(self, cache: Path) -> None:
        self._programs = _postgres_programs()
        self._cache = cache
        self._folder = Path(tempfile.mkdtemp(prefix="benchrouter-postgres-"))
        self._reserved = contextlib.ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.environment = _prisma(self._cache)
            self._port = self._reserved.enter_context(reserved_port())
            self._start()
            self._make_tables()
        except BaseException:
            self._stop()
            raise
        url = f"postgresql://litellm@127.0.0.1:{self._port}/postgres"
        self.environment |= {"DATABASE_URL": url, "DISABLE_SCHEMA_UPDATE": "true"}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def run(self, statement: str) -> None:
        """Execute a statement of SQL."""
        self._client(
            "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", given=statement.encode()
        )

    def rows(self, query: str) -> list[list[str]]:
        """Return the rows that a query finds, as text."""
        done = self._client("psql", "-qAt", "-F", "\t", "-d", "postgres", given=query.encode())
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def _start(self) -> None:
        account = _account()
        shutil.chown(self._folder, account.get("user"), account.get("group"))
        data = str(self._folder / "data")
        init = [self._programs / "initdb", "-D", data, "-A", "trust", "-U", "litellm", "-N"]
        subprocess.run(init, check=True, capture_output=True, cwd=self._folder, **account)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": self._folder,
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = subprocess.Popen(
            [self._programs / "postgres", "-D", data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            **account,
        )
        deadline = time.monotonic() + _STARTUP_LIMIT
        while self._client("pg_isready", check=False).returncode:
            if self._server.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended with {self._server.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL was not ready after {_STARTUP_LIMIT} s")
            time.sleep(0.05)

    def _make_tables(self) -> None:
        import litellm_proxy_extras

        folder = Path(litellm_proxy_extras.__file__).parent / "migrations"
        scripts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/*.sql"))]
        self.run("\n".join(scripts))

    def _client(
        self, program: str, *options: str, given: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        where = ("-h", "127.0.0.1", "-p", str(self._port), "-U", "litellm")
        return subprocess.run(
            [self._programs / program, *where, *options],
            input=given,
            capture_output=True,
            check=check,
        )

    def _stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # ends without waiting for its clients
            self._server.wait()
        self._reserved.close()
        shutil.rmtree(self._folder)


def _postgres_programs() -> Path:
    on_path = shutil.which("initdb")
    found = (
        [Path(on_path).resolve().parent]
        if on_path
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    )
    if not found:
        raise UnavailableError("PostgreSQL is not installed (apt-get install postgresql)")
    return found[-1]


def _account() -> dict[str, Any]:
    """Who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _prisma(cache: Path) -> dict[str, str]:
    """Make Prisma's Python client and query engine, and say where they are."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed: Prisma's query engine needs it")
    for package in ("prisma", "litellm_proxy_extras"):
        if importlib.util.find_spec(package) is None:
            raise UnavailableError(f"the Python package {package} is not installed")
    for name in ("package.json", "engine.cjs"):
        shutil.copy(_HERE / name, cache / name)
    engine, programs = cache / "engine.cjs", cache / "bin"
    client = cache / f"client-{version('litellm')}"  # each release has a schema of its own
    programs.mkdir(exist_ok=True)
    # LiteLLM asks it at every start whether the tables are up to date; they are.
    (programs / "prisma").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (programs / "prisma").chmod(0o755)
    search = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        "PATH": os.pathsep.join(search),
        "PYTHONPATH": os.pathsep.join([str(client), os.environ.get("PYTHONPATH", "")]),
        "PRISMA_QUERY_ENGINE_BINARY": str(engine),
    }
    if not (client / "prisma" / "client.py").exists():
        _generate(cache, engine, client, environment)
    return environment


def _generate(cache: Path, engine: Path, client: Path, environment: dict[str, str]) -> None:
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    installed = subprocess.run(npm, cwd=cache, capture_output=True, check=False)
    if installed.returncode:
        raise UnavailableError("npm could not install Prisma's query engine")
    import litellm

    schema = Path(litellm.__file__).parent / "proxy" / "schema.prisma"
    text = schema.read_text(encoding="utf-8")
    start = text.index("generator client {")
    end = text.index("}", start)
    text = text[:start] + _GENERATOR % (client / "prisma") + text[end:]
    (cache / "schema.prisma").write_text(text, encoding="utf-8")
    # Prisma's own programs would be downloaded, were they not said to be there.
    engines = ("QUERY_ENGINE_LIBRARY", "SCHEMA_ENGINE_BINARY", "FMT_BINARY")
    subprocess.run(
        ["node", "node_modules/prisma/build/index.js", "generate", "--schema=schema.prisma"],
        cwd=cache,
        env={
            **os.environ,
            "PATH": environment["PATH"],
            "PRISMA_QUERY_ENGINE_BINARY": str(engine),
            "CHECKPOINT_DISABLE": "1",
            **{f"PRISMA_{name}": str(engine) for name in engines},
        },
        check=True,
        capture_output=True,
    )
