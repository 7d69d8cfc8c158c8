"""`benchrouter demo`: build from a synthetic benchmark, start a real proxy and ask it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

import click

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.cli.options import console, json_option, print_json, print_tables
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.progress import Progress, bars
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.views import UNKNOWN, Table

_FILES = ("benchmark.csv", "config.yaml", "report-queries.txt")
_EFFORT = """\
  - model_name: smart
    litellm_params: {model: openai/spark-3b, reasoning_effort: high, api_key: none,
      allowed_openai_params: [reasoning_effort], mock_response: "spark-3b-high answers"}
    model_info: {id: spark-high, benchrouter_model: spark-3b-high}
"""
_READY_SECONDS = 300.0  # where nothing of LiteLLM is compiled yet, and the machine is busy
_STOP_SECONDS = 10.0
_LOADED_SECONDS = 30.0

PROMPTS: tuple[tuple[str, str | None, bool], ...] = (
    ("Write a Python function that reverses a queue of seeds without recursion.", None, False),
    ("Amira has 120 tickets and gives away 15 percent of them. How many are left?", None, True),
    ("Translate into Dutch: the tickets arrive on Monday morning.", None, False),
    ("Write a one-line headline for this article about the harbour.", None, True),
    ("Give me three ideas for a rainy afternoon near a garden.", None, False),
    ("List with SQL the cities of all customers with an open order.", None, False),
    ("Which customers did not pay?", "report-queries", False),
    ("Which customers did not pay?", "a-task-nobody-named", False),
)
"""The requests: prompt, named task, streaming."""


@dataclass(frozen=True)
class Answer:
    """The answer to one prompt: its text, our headers without their prefix, and the pick.

    There is no text where no proxy was asked; the headers are then what they would say.
    """

    prompt: str
    task: str | None
    streamed: bool
    text: str | None
    headers: Mapping[str, str]
    pick: str = ""

    @property
    def is_of_pick(self) -> bool:
        """Say whether the model that the router picks gave the answer; each says its name."""
        return self.text == f"{self.pick} answers"


def has_proxy() -> bool:
    """Say whether LiteLLM's proxy is installed."""
    return all(find_spec(name) for name in ("fastapi", "uvicorn", "orjson"))


def copy_files(folder: Path) -> None:
    """Copy the synthetic benchmark, the proxy's configuration and the example inputs."""
    for name in _FILES:
        if not (folder / name).exists():
            with as_file(files("litellm_benchrouter") / "demo" / name) as source:
                shutil.copyfile(source, folder / name)


def prepare(folder: Path, progress: Progress) -> Built:
    """Copy the demo's files to a folder and build its artifact there."""
    copy_files(folder)
    _add_effort(folder)
    return build(load_config(folder / "config.yaml"), progress=progress)


def _add_effort(folder: Path) -> None:
    """Add a model at a high reasoning effort: a column of scores, and a deployment.

    It solves what the same model solves as it is, which is the last column, and all that is SQL.
    """
    table, config = folder / "benchmark.csv", folder / "config.yaml"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    solved = (int(row.startswith("sql") or row.endswith(",1")) for row in rows)
    lines = [f"{header},spark-3b-high", *map("{},{}".format, rows, solved)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model_list, separator, rest = config.read_text(encoding="utf-8").partition(
        "\nlitellm_settings:"
    )
    config.write_text(model_list + _EFFORT + separator + rest, encoding="utf-8")


@contextmanager
def proxy(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a LiteLLM proxy on loopback; yields its address and its key, and stops it after."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = f"sk-demo-{secrets.token_hex(16)}"
    log = folder / "proxy.log"
    command = [
        *(sys.executable, "-m", "litellm.proxy.proxy_cli", "--config", "config.yaml"),
        *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(key),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health/readiness", log)
        yield f"http://127.0.0.1:{port}", key
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(address: str, key: str, on_answer: Callable[[Answer], None]) -> None:
    """Send the prompts with the openai client and hand over each answer as it comes."""
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=2) as client:
        deadline = time.monotonic() + _LOADED_SECONDS
        while "artifact" not in _ask(client, "hello", None, False).headers:
            if time.monotonic() > deadline:
                raise BenchRouterError(
                    "the proxy answers without the router: it loaded no artifact, or LiteLLM "
                    "follows no preference. Run benchrouter doctor."
                )
            time.sleep(0.2)
        for prompt, task, stream in PROMPTS:
            on_answer(_ask(client, prompt, task, stream))


def decided(router: BenchRouter) -> Iterator[Answer]:
    """Decide on the prompts without a proxy."""
    for prompt, task, _ in PROMPTS:
        decision = router.decide(prompt, task=task)
        headers = {
            "method": decision.method,
            "model": decision.pick,
            "reason": decision.reason,
            "artifact": decision.artifact,
        }
        yield Answer(prompt, task, False, None, headers)


def _ask(client: object, prompt: str, task: str | None, stream: bool) -> Answer:
    import openai

    assert isinstance(client, openai.OpenAI)
    headers = {} if task is None else {"x-benchrouter-task": task}
    with client.chat.completions.with_streaming_response.create(
        model="smart",
        messages=[{"role": "user", "content": prompt}],
        stream=stream,
        extra_headers=headers,
    ) as response:
        ours = {
            name.removeprefix("x-benchrouter-"): value
            for name, value in response.headers.items()
            if name.startswith("x-benchrouter-")
        }
        if stream:
            chunks = response.parse()
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)  # type: ignore[union-attr]
        else:
            text = response.parse().choices[0].message.content or ""  # type: ignore[union-attr]
    return Answer(prompt, task, stream, text, ours)


def _environment(key: str) -> dict[str, str]:
    foreign = ("DATABASE_URL", "LITELLM_", "REDIS_", "CONFIG_FILE_PATH", "BENCHROUTER_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the network for prices
        "LITELLM_MODE": "PRODUCTION",  # or it reads a .env file from a folder above
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise BenchRouterError(
                f"the LiteLLM proxy did not start ({' '.join(tail) or 'no output'}); "
                f'install it with pip install "litellm-benchrouter[proxy]".'
            )
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise BenchRouterError(f"the LiteLLM proxy was not ready within {_READY_SECONDS:g} s.")


@click.command("demo")
@json_option
def demo_command(as_json: bool) -> None:
    """Show the router at work: a real proxy, mock models, nothing to set up.

    The benchmark is synthetic and the models do not exist; no key and no download is needed. Where
    LiteLLM's proxy is not installed, the router is asked without it. Exits with 1 where another
    model than the router's pick answered.
    """
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="benchrouter-demo-") as name:
        folder = Path(name)
        with bars() as progress:
            built = prepare(folder, progress)
            if has_proxy():
                with (
                    progress.stage("asking a LiteLLM proxy", 1) as advance,
                    proxy(folder) as (address, key),
                ):
                    ask(address, key, answers.append)
                    advance(1)
            router = BenchRouter(read_artifact(built.folder))
            if not has_proxy():
                answers = list(decided(router))
    answers = [
        replace(answer, pick=router.decide(answer.prompt, task=answer.task).pick)
        for answer in answers
    ]
    others = [answer for answer in answers if answer.text is not None and not answer.is_of_pick]
    if as_json:
        print_json([vars(answer) | {"headers": dict(answer.headers)} for answer in answers])
    else:
        _show(built, answers)
    if others:
        raise BenchRouterError(
            f"{len(others)} of {len(answers)} prompts were not answered by the router's pick: "
            f"{others[0].pick} was picked, and {others[0].text!r} came back. Run benchrouter "
            "doctor, and install a LiteLLM that docs/compatibility.md names."
        )


def _show(built: Built, answers: list[Answer]) -> None:
    out = console()
    counts = built.manifest.counts
    out.print(
        f"Built version {built.manifest.version} from a synthetic benchmark: {counts['samples']} "
        f"prompts, {counts['tasks']} tasks, {counts['models']} models that do not exist.",
    )
    rows = [
        [
            answer.prompt + (" (streamed)" if answer.streamed else ""),
            answer.task or UNKNOWN,
            *(answer.headers[name] for name in ("method", "model", "reason")),
        ]
        for answer in answers
    ]
    columns = ("Prompt", "Task", "Method", "Pick", "Why")
    is_asked = all(answer.text is not None for answer in answers)
    title = "What the proxy answered" if is_asked else "What the router picks"
    print_tables(out, Table(title, columns, rows, n_text=5))
    stopped = (
        "The proxy has been stopped."
        if is_asked
        else (
            "LiteLLM's proxy is not installed, so none was asked; for that, run it with "
            "litellm-benchrouter[proxy]."
        )
    )
    out.print(f"{stopped} Next: config.example.yaml shows the same with real models.", markup=False)
