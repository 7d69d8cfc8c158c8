"""Real coding agents through the real proxy: what each of their requests is, and who answers it.

They are installed by npm, once, and talk to the proxy alone. Their bodies hold their makers'
prompts; nothing of them is kept but what our rules took for the person's words.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import routed_config
from proxy.harness import MASTER_KEY, ProxyProcess, eventually, json_lines
from proxy.upstream import FakeUpstream

INSTALL_SECONDS, RUN_SECONDS = 900, 300
CODE = "Write a Python function that reverses a queue of seeds without recursion."
DUTCH = "Vertaal in het Engels: de kaartjes komen maandagochtend aan."
MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"

# It is asked with just what the hook is asked with, and writes what the rules make of it.
READER = """
import json, os
from litellm.integrations.custom_logger import CustomLogger
from litellm_benchrouter.conversation.ask import ask_to_route_on

class Reader(CustomLogger):
    async def async_filter_deployments(
        self, model, healthy_deployments, messages, request_kwargs=None, parent_otel_span=None
    ):
        ask = ask_to_route_on(messages, request_kwargs)
        self.write({"ask": ask.kind, "text": ask.text})
        return healthy_deployments

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        spend = kwargs["standard_logging_object"]["metadata"]["spend_logs_metadata"]
        self.write({"spend": spend["benchrouter"]})

    def write(self, line):
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps(line) + "\\n")

handler = Reader()
"""


@dataclass(frozen=True)
class Program:
    """A coding agent: where npm has it, how it is told of the proxy, and how it is asked.

    Attributes
    ----------
    package : str
        With the version that these tests were seen to pass with.
    first, more : tuple of str
        The commands that begin a conversation and go on with the latest; the words come last.
    env : dict
    file, settings : str
        A file below the home directory. `<url>` and `<key>`, here and in `env`, are the proxy's.
    """

    package: str
    first: tuple[str, ...]
    more: tuple[str, ...]
    env: dict[str, str]
    file: str = ""
    settings: str = ""


PROGRAMS = {
    "claude": Program(
        "@anthropic-ai/claude-code@2.1.197",
        ("claude", "--model", "smart", "-p"),
        ("claude", "--model", "smart", "--continue", "-p"),
        {
            "ANTHROPIC_BASE_URL": "<url>",
            "ANTHROPIC_AUTH_TOKEN": "<key>",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
    ),
    "codex": Program(
        "@openai/codex@0.171.0",
        ("codex", "exec", "--skip-git-repo-check"),
        ("codex", "exec", "resume", "--last", "--skip-git-repo-check"),
        {"LAB_KEY": "<key>"},
        ".codex/config.toml",
        'model = "smart"\nmodel_provider = "lab"\n[model_providers.lab]\nname = "lab"\n'
        'base_url = "<url>/v1"\nwire_api = "responses"\nenv_key = "LAB_KEY"\n',
    ),
    "opencode": Program(
        "opencode-ai@1.18.33",
        ("opencode", "run", "-m", "lab/smart"),
        ("opencode", "run", "-m", "lab/smart", "--continue"),
        {},
        ".config/opencode/opencode.json",
        json.dumps(
            {
                "autoupdate": False,
                "provider": {
                    "lab": {
                        "npm": "@ai-sdk/openai-compatible",
                        "options": {"baseURL": "<url>/v1", "apiKey": "<key>"},
                        "models": {"smart": {}},
                    }
                },
            }
        ),
    ),
}


@pytest.fixture(scope="module")
def proxy(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    folder = tmp_path_factory.mktemp("programs")
    copy_files(folder)
    (folder / "reader.py").write_text(READER, encoding="utf-8")
    config = routed_config(upstream_server.base_url)
    config["litellm_settings"]["callbacks"] = [
        *("prometheus", "reader.handler", "litellm_benchrouter.hook.handler")
    ]
    config["benchrouter"]["serving"] |= {"stickiness": "session", "side": "cheapest:0.1"}
    running = ProxyProcess(config, folder, env={"RECORD": str(folder / "record.jsonl")})
    build(load_config(folder / "config.yaml"))
    with running:
        eventually(lambda: "benchrouter_artifact_info{" in running.http.get("/metrics/").text)
        yield running


class Installed:
    """A program that is asked in a home and a folder of its own."""

    def __init__(self, program: Program, bin_folder: Path, folder: Path, proxy: ProxyProcess):
        self._program, self._bin, self._proxy = program, bin_folder, proxy
        self._home, self._work = folder / "home", folder / "work"
        self._work.mkdir()
        if program.file:
            file = self._home / program.file
            file.parent.mkdir(parents=True)
            file.write_text(self._filled(program.settings), encoding="utf-8")
        self._home.mkdir(exist_ok=True)

    def ask(self, words: str, *, goes_on: bool = False) -> list[dict[str, Any]]:
        """Ask something; return what its requests were, as they came, with who answered them."""
        before = self._lines()
        name, *options = self._program.more if goes_on else self._program.first
        done = subprocess.run(
            [str(self._bin / name), *options, words],
            cwd=self._work,
            env={
                "HOME": str(self._home),
                "PATH": os.environ["PATH"],
                "NO_PROXY": "127.0.0.1,localhost",
                **{name: self._filled(value) for name, value in self._program.env.items()},
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "This is " in done.stdout, "the provider's answer"

        def answered() -> list[dict[str, Any]] | None:
            lines = self._lines()[len(before) :]
            asked = [line for line in lines if "ask" in line]
            spent = [line["spend"] for line in lines if "spend" in line]
            if not asked or len(asked) != len(spent):
                return None
            # A title and the ask it is for may be under way at once.
            spent.sort(key=lambda spend: spend["turn"])
            asked.sort(key=lambda line: line["ask"])
            return [line | spend for line, spend in zip(asked, spent, strict=True)]

        return eventually(answered)

    def _lines(self) -> list[dict[str, Any]]:
        return json_lines(self._proxy.folder / "record.jsonl")

    def _filled(self, text: str) -> str:
        return text.replace("<url>", self._proxy.base_url).replace("<key>", MASTER_KEY)


@pytest.fixture(params=list(PROGRAMS))
def program(
    request: pytest.FixtureRequest, proxy: ProxyProcess, upstream: FakeUpstream, tmp_path: Path
) -> Installed:
    wanted = PROGRAMS[request.param]
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which installs the program")
    folder = Path(
        request.config.cache.mkdir(f"{request.param}-{wanted.package.rpartition('@')[2]}")
    )
    if not (folder / "node_modules" / ".bin" / request.param).exists():
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        done = subprocess.run(
            [*command, wanted.package],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot install {wanted.package}: {done.stderr[-200:]}")
    return Installed(wanted, folder / "node_modules" / ".bin", tmp_path, proxy)


def test_a_program_is_routed_by_what_it_was_asked_and_keeps_its_model(
    program: Installed, upstream: FakeUpstream
) -> None:
    sessions = set()
    said = [("ask", CODE, CODE), ("keep", CODE, "yes"), ("ask", DUTCH, DUTCH)]
    for number, (kind, text, words) in enumerate(said):
        *sides, real = sorted(
            program.ask(words, goes_on=number > 0), key=lambda line: line["ask"] != "side"
        )
        assert (real["ask"], real["turn"], real["text"]) == (kind, kind, text)
        assert (real["model"], real["pick"]) == ("coder-14b", "coder-14b")
        assert real["method"] == ("session" if number else "s1")
        sessions.add(real["session"])
        for side in sides:
            assert (side["ask"], side["turn"]) == ("side", "side")
            assert side["text"] == text
            assert side["reason"].startswith("the client's own request, not a person's; ")
    assert len(sessions) == 1
    # Another conversation, behind the same prompts of its maker, is another decision.
    *_, real = sorted(program.ask(MATH), key=lambda line: line["ask"] != "side")
    assert (real["ask"], real["text"], real["model"]) == ("ask", MATH, "mathsmith-8b")
    assert real["session"] not in sessions
