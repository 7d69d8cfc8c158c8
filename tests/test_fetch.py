"""`benchrouter fetch`, against a server on loopback that is a hub, GitHub and a bucket in one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from click.testing import CliRunner

from litellm_benchrouter.cli import cli
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ConfigError, FetchError
from litellm_benchrouter.sources import read, transfer
from litellm_benchrouter.sources.catalogue import CatalogueEntry, WantedModels, read_catalogue

CSV = "prompt_id,model_id,category_id,label,model_name,category,prompt\n" + "".join(
    f"{n},0,0,{n % 2},ant,sums,question {n}\n{n},1,0,{n % 3 // 2},bee,sums,question {n}\n"
    for n in range(200)
)


def arena(model: str) -> bytes:
    rows = [
        {"global_index": f"sums_{n}", "question": f"question {n}", "llm_selected": model,
         "success": True, "evaluation_result": {"score": float(n % 2), "ground_truth": "x"}}
        for n in range(4)
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class Hub:
    """Repositories, and what goes wrong with them."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}  # repository or bucket -> path -> content
        self.licence: str | None = "mit"
        self.cut_at: dict[str, list[int]] = {}  # path -> bytes after which an answer ends, in turn
        self.busy: dict[
            str, list[int | str | None]
        ] = {}  # path -> Retry-After of answers 429, in turn
        self.moved: dict[str, str] = {}  # path -> where it is now
        self.sent: dict[str, bytes] = {}  # path -> what is sent in the place of the content
        self.gone: set[str] = set()
        self.ignores_ranges = False
        self.page = 1_000
        self.absent = 404
        self.asked: Counter[str] = Counter()
        self.ranges: list[str | None] = []
        self.tokens: set[str | None] = set()
        self.through_proxy = 0
        self.is_proxy_only = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = _Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.through_proxy += bool(parts.scheme)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.tokens.add(request.headers.get("Authorization"))
        if self.is_proxy_only and not parts.scheme:
            self.reply(request, 502, b"")
            return
        name = path.rpartition("/")[2]
        if self.busy.get(name):
            pause = self.busy[name].pop(0)
            headers = {} if pause is None else {"Retry-After": str(pause)}
            self.reply(request, 429, b"slow down", headers)
        elif path.startswith("/api/datasets/"):
            self.reply_about_hub(request, path, query)
        elif path.startswith("/repos/"):
            self.reply_tree(request, path)
        elif path.startswith("/storage/v1/b/"):
            self.reply_bucket(request, path, query)
        else:
            self.reply_file(request, path)

    def reply_about_hub(self, request: Any, path: str, query: dict[str, list[str]]) -> None:
        repo, _, rest = path.removeprefix("/api/datasets/").partition("/revision/")
        if rest:
            about = {"id": repo, "sha": "c0ffee", "cardData": {"license": self.licence}}
            status = 200 if repo in self.files else self.absent
            self.reply(request, status, json.dumps(about).encode())
            return
        repo, _, _ = path.removeprefix("/api/datasets/").partition("/tree/")
        start = int(query.get("cursor", ["0"])[0])
        entries = [{"type": "directory", "path": "data", "oid": "d"}]
        for file, content in self.files[repo].items():
            entry: dict[str, Any] = {"type": "file", "path": file, "size": len(content)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if file.endswith((".csv", ".gz")):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
            entries.append(entry)
        shown, headers = entries[start : start + self.page], {}
        if start + self.page < len(entries):
            after = f"{self.url}{path}?recursive=true&cursor={start + self.page}"
            headers["Link"] = f'<{after}>; rel="next"'
        self.reply(request, 200, json.dumps(shown).encode(), headers)

    def reply_tree(self, request: Any, path: str) -> None:
        repo = path.removeprefix("/repos/").partition("/git/")[0]
        tree = [
            {"path": file, "type": "blob", "size": len(content),
             "sha": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            for file, content in self.files[repo].items()
        ]  # fmt: skip
        tree.append({"path": "cached_results", "type": "tree", "sha": "t"})
        self.reply(request, 200, json.dumps({"tree": tree, "truncated": False}).encode())

    def reply_bucket(self, request: Any, path: str, query: dict[str, list[str]]) -> None:
        bucket, prefix = path.split("/")[4], query["prefix"][0]
        names = [name for name in self.files[bucket] if name.startswith(prefix)]
        start = int(query.get("pageToken", ["0"])[0])
        items = [
            {"name": name, "size": str(len(self.files[bucket][name])),
             "md5Hash": base64.b64encode(hashlib.md5(self.files[bucket][name]).digest()).decode()}
            for name in names[start : start + self.page]
        ]  # fmt: skip
        more = start + self.page < len(names)
        document = {"items": items} | ({"nextPageToken": str(start + self.page)} if more else {})
        self.reply(request, 200, json.dumps(document).encode())

    def reply_file(self, request: Any, path: str) -> None:
        found = next(
            (
                (file, content)
                for files in self.files.values()
                for file, content in files.items()
                if path.endswith(f"/{file}")
            ),
            None,
        )
        if found is None or found[0] in self.gone:
            self.reply(request, 404, b"Entry not found")
            return
        file, content = found
        if file in self.moved and not path.startswith("/cdn/"):
            self.reply(request, 302, b"", {"Location": f"{self.url}/cdn/{file}"})
            return
        self.asked[file] += 1
        content = self.sent.get(file, content)
        stated = request.headers.get("Range")
        self.ranges.append(stated)
        start = 0
        if stated and not self.ignores_ranges:
            start = int(stated.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.reply(request, 416, b"")
                return
        body = content[start:]
        cuts = self.cut_at.get(file) or []
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if cuts:
            request.wfile.write(body[: cuts.pop(0)])
            request.close_connection = True
        else:
            request.wfile.write(body)

    def reply(
        self, request: Any, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the command would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waits: list[float]) -> Iterator[Hub]:
    """A server with EmbedLLM and RouterArena, in the place of the real ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Hub() as server:
        for name in ("HF_ENDPOINT", "GITHUB_API_URL", "STORAGE_EMULATOR_HOST"):
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("GITHUB_RAW_URL", f"{server.url}/raw")
        server.files["RZ412/EmbedLLM"] = {
            "README.md": b"about",
            "train.csv": CSV.encode(),
            "test.csv": CSV.replace("question", "other").replace("\n", "\n1", 0).encode(),
            "question_order.csv": b"prompt_id,prompt\n",
        }
        server.files["RouteWorks/RouterArena"] = {
            "README.md": b"about",
            "cached_results/gpt-4o-mini.jsonl": arena("gpt-4o-mini"),
            "cached_results/claude-3-haiku-20240307.jsonl": arena("claude-3-haiku-20240307"),
        }
        yield server


def fetch(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["fetch", *map(str, arguments)])
    if isinstance(result.exception, FetchError | ConfigError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def fetched(*arguments: object) -> dict[str, Any]:
    code, output = fetch(*arguments, "--yes", "--json")
    assert code == 0, output
    document: dict[str, Any] = json.loads(output)
    return document


def test_the_catalogue_is_listed_and_every_kind_can_be_read() -> None:
    code, text = fetch("--list")
    assert code == 0
    for name in ("helm-lite", "open-llm-leaderboard", "routerbench", "embedllm", "llmrouterbench",
                 "routerarena", "mixinstruct", "alpaca-eval", "bfcl"):  # fmt: skip
        assert name in text
    code, text = fetch("--list", "--json")
    sets = {each["name"]: each for each in json.loads(text)}
    assert sets["alpaca-eval"]["licence"] == "CC-BY-NC-4.0"
    assert "licence" not in sets["bfcl"]  # it states none
    for each in sets.values():
        with pytest.raises(ConfigError, match="no option"):
            read(each["kind"], Path("x"), {"nonsense": 1})
    code, text = fetch("alpaca")
    assert code == 2
    assert 'no set is named "alpaca". There are helm-lite' in text


def test_a_set_of_the_hub_is_downloaded_checked_and_read(hub: Hub) -> None:
    hub.page = 2
    document = fetched("embedllm")
    assert [file["path"] for file in document["files"]] == ["train.csv", "test.csv"]
    assert document["files"][0]["sha256"] == hashlib.sha256(CSV.encode()).hexdigest()
    assert document["licence"] == "mit"
    (source,) = yaml.safe_load(document["yaml"])["benchrouter"]["sources"]
    assert source == {"kind": "embedllm", "path": "benchmarks/embedllm", "name": "embedllm"}
    table = read("embedllm", Path(source["path"]), {})
    assert set(table.scores["model"]) == {"ant", "bee"}
    record = yaml.safe_load(Path("benchmarks/embedllm/fetched.yaml").read_text())
    assert record["files"]["train.csv"]["url"].endswith("/resolve/c0ffee/train.csv")
    before = hub.asked.copy()
    fetched("embedllm")
    assert hub.asked == before  # it is there already
    assert not list(Path("benchmarks").rglob("*.part"))


def test_an_interrupted_download_goes_on_where_it_ended(hub: Hub, waits: list[float]) -> None:
    hub.cut_at["train.csv"] = [1_000, 500, 0]
    document = fetched("embedllm")
    assert document["files"][0]["bytes"] == len(CSV)
    assert hub.ranges[:4] == [None, "bytes=1000-", "bytes=1500-", "bytes=1500-"]
    assert waits == [1, 1, 1]


def test_a_download_that_ended_goes_on_in_the_next_run(hub: Hub) -> None:
    hub.cut_at["train.csv"] = [700] + [0] * 9
    code, text = fetch("embedllm", "--yes")
    assert code == 1
    assert "what is there stays" in text
    hub.cut_at.clear()
    hub.ranges.clear()
    fetched("embedllm")
    assert hub.ranges[0] == "bytes=700-"


def test_a_server_without_ranges_starts_again(hub: Hub) -> None:
    hub.cut_at["train.csv"] = [1_000]
    hub.ignores_ranges = True
    assert fetched("embedllm")["files"][0]["bytes"] == len(CSV)
    assert read("embedllm", Path("benchmarks/embedllm"), {}).scores.height


@pytest.mark.parametrize("sent", [CSV.replace("ant", "cat"), CSV + "more", CSV[:-7]])
def test_what_has_another_hash_is_not_kept(hub: Hub, sent: str) -> None:
    hub.sent["train.csv"] = sent.encode()
    code, text = fetch("embedllm", "--yes")
    assert code == 1
    assert "train.csv" in text
    assert not Path("benchmarks/embedllm/train.csv").exists()
    hub.sent.clear()
    fetched("embedllm")


def test_a_file_that_was_changed_on_disk_is_downloaded_again(hub: Hub) -> None:
    fetched("embedllm")
    path = Path("benchmarks/embedllm/train.csv")
    path.write_text(CSV.replace("ant", "cat"))
    fetched("embedllm")
    assert path.read_text() == CSV


def test_a_hash_in_the_catalogue_goes_before_the_hubs(hub: Hub, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    entry = {"name": "mine", "title": "Mine", "hub": "RZ412/EmbedLLM", "files": ["test.csv"],
             "kind": "embedllm", "licence": "MIT", "sha256": {"test.csv": "0" * 64}}  # fmt: skip
    own.write_text(yaml.safe_dump({"sets": [entry]}))
    code, text = fetch("mine", "--catalogue", own, "--yes")
    assert code == 1
    assert f"not {'0' * 64}. Nothing of it was kept" in text


def test_a_moved_file_is_followed_and_one_that_is_gone_is_named(hub: Hub) -> None:
    hub.moved["train.csv"] = "elsewhere"
    fetched("embedllm", "--to", "first")
    hub.gone.add("test.csv")
    code, text = fetch("embedllm", "--yes", "--to", "second")
    assert code == 1
    assert "test.csv: is not there (404). It may have moved" in text
    assert Path("second/train.csv").exists()  # and stays
    del hub.files["RZ412/EmbedLLM"]
    code, text = fetch("embedllm", "--yes")
    assert (code, "is not there (404)" in text) == (1, True)


def test_a_rate_limit_is_waited_for_as_the_server_asks(hub: Hub, waits: list[float]) -> None:
    hub.busy["train.csv"] = [7, None]
    hub.busy["main"] = [3]
    fetched("embedllm")
    assert waits == [3, 7, 2]
    hub.busy["main"] = [3_600]
    code, text = fetch("embedllm", "--yes")
    assert code == 1
    assert "answers 429 (Too Many Requests). Run the command again in 3600 s" in text
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    hub.busy["main"] = [date]
    code, text = fetch("embedllm", "--yes")
    assert (code, "Run the command again in 7" in text) == (1, True)
    hub.busy["main"] = [1] * 9
    code, text = fetch("embedllm", "--yes")
    assert (code, "Run the command again in 1 s" in text) == (1, True)


def test_a_proxy_is_taken_from_the_environment(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.is_proxy_only = True
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    fetched("embedllm")
    assert hub.through_proxy >= 4


def test_a_server_that_is_not_there_is_said_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, text = fetch("embedllm")
    assert code == 1
    assert "127.0.0.1:9/api/datasets/RZ412/EmbedLLM" in text
    assert waits == [1, 2, 4, 8]


def test_tokens_go_to_their_own_server_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetched("routerarena")
    assert hub.tokens == {None}
    fetched("embedllm")
    assert "Bearer hf_secret" in hub.tokens


def test_models_are_chosen_by_name_and_pattern(hub: Hub) -> None:
    document = fetched("routerarena", "--models", "Claude-3-Haiku*,grok-1")
    assert document["models"] == {"claude-3-haiku-20240307": "Claude-3-Haiku*"}
    assert document["without_results"] == ["grok-1"]
    assert document["warnings"] == ["No public results in routerarena of: grok-1."]
    assert [file["model"] for file in document["files"]] == ["claude-3-haiku-20240307"]
    code, text = fetch("routerarena", "--models", "grok-1", "--yes")
    assert code == 2
    assert "has no results of grok-1; it has claude-3-haiku-20240307, gpt-4o-mini" in text
    code, text = fetch("routerarena", "--tasks", "sums", "--yes")
    assert (code, "holds all tasks in the same files" in text) == (2, True)


def test_for_takes_the_models_of_a_proxy_by_name_and_alias(hub: Hub, tmp_path: Path) -> None:
    config = tmp_path / "proxy" / "config.yaml"
    config.parent.mkdir()
    document = {
        "model_list": [
            {"model_name": "all", "litellm_params": {"model": "openai/gpt-4o-mini"}},
            {"model_name": "all", "litellm_params": {"model": "bedrock/haiku-in-house"}},
            {"model_name": "all", "litellm_params": {"model": "openai/own-model"}},
            {"model_name": "vectors", "litellm_params": {"model": "openai/text-embedding-3-small"}},
        ],
        "benchrouter": {
            "sources": [{"path": "x.csv"}],
            "models": {"claude-3-haiku-20240307": {"aliases": ["haiku-in-house"]}},
        },
    }
    config.write_text(yaml.safe_dump(document))
    found = fetched("routerarena", "--for", config)
    assert found["models"] == {
        "claude-3-haiku-20240307": "bedrock/haiku-in-house",
        "gpt-4o-mini": "openai/gpt-4o-mini",
    }
    assert found["without_results"] == ["openai/own-model"]
    block = yaml.safe_load(found["yaml"])["benchrouter"]
    assert block["sources"][0]["path"] == "../benchmarks/routerarena/cached_results"
    assert block["models"] == {"claude-3-haiku-20240307": {"aliases": ["bedrock/haiku-in-house"]}}
    config.write_text(found["yaml"])
    (source,) = load_config(config).sources
    assert set(read(source.kind, source.path, {}).scores["model"]) == set(found["models"])
    code, text = fetch("routerarena", "--for", config, "--models", "x")
    assert (code, "Use one of them" in text) == (2, True)


def test_for_knows_short_names_two_providers_and_what_azure_serves(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.files["RouteWorks/RouterArena"]
    files |= {f"cached_results/{name}.jsonl": arena(name) for name in ("o1", "a_yi-6b", "b__yi-6b")}
    monkeypatch.setenv("OURS", "openai/o1")
    config = tmp_path / "config.yaml"

    def of(*models: str, base: str | None = None) -> dict[str, Any]:
        entries = [{"model_name": "g", "litellm_params": {"model": model}} for model in models]
        info = {"model_info": {"base_model": base}} if base else {}
        config.write_text(yaml.safe_dump({"model_list": [entry | info for entry in entries]}))
        return fetched("routerarena", "--for", config, "--to", tmp_path / "set")

    assert of("os.environ/OURS")["models"] == {"o1": "openai/o1"}
    both = of("openai/gpt-4o-mini", "azure/gpt-4o-mini", "openai/*")
    assert both["without_results"] == []
    assert "are left aside: openai/*" in " ".join(both["warnings"])
    azure = of("azure/ours", base="azure/gpt-4o-mini")
    block = yaml.safe_load(azure["yaml"])["benchrouter"]
    assert block["models"] == {"gpt-4o-mini": {"aliases": ["azure/ours"]}}
    either = of("together_ai/01-ai/yi-6b")
    assert "models" not in yaml.safe_load(either["yaml"])["benchrouter"]
    assert "yi-6b may be a_yi-6b or b__yi-6b. Give the one" in " ".join(either["warnings"])
    config.write_text("model_list: [{model_name: g, litellm_params: {model: 'openai/*'}}]")
    code, text = fetch("routerarena", "--for", config)
    assert (code, "only patterns (openai/*)" in text) == (2, True)


def test_names_that_no_disk_takes_and_a_record_that_cannot_be_written(hub: Hub) -> None:
    hub.files["RouteWorks/RouterArena"]["cached_results/a\0b.jsonl"] = arena("x")
    code, text = fetch("routerarena", "--yes")
    assert (code, "no name of a file" in text) == (1, True)
    Path("benchmarks/embedllm/fetched.yaml").mkdir(parents=True)
    code, text = fetch("embedllm", "--yes")
    assert (code, "fetched.yaml: cannot be written" in text) == (1, True)


def test_models_inside_the_files_are_found_out_after_the_download(hub: Hub, tmp_path: Path) -> None:
    document = fetched("embedllm", "--models", "acme/ant,cat")
    assert document["models"] == {"ant": "acme/ant"}
    assert document["without_results"] == ["cat"]
    assert document["warnings"] == [
        "All models of embedllm are in the same files.",
        "No public results in embedllm of: cat.",
    ]


def test_a_folder_that_cannot_be_written_and_an_odd_server_are_said_so(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    code, text = fetch("embedllm", "--yes", "--to", tmp_path / "taken" / "deep")
    assert (code, "cannot be written" in text) == (1, True)
    hub.files["RouteWorks/RouterArena"] = {}
    code, text = fetch("routerarena", "--yes")
    assert (code, "has no file named cached_results" in text) == (1, True)
    monkeypatch.setattr(hub, "reply_tree", lambda request, path: hub.reply(request, 200, b"[1]"))
    code, text = fetch("routerarena", "--yes")
    assert (code, "\n" in text) == (1, False)
    monkeypatch.setattr(
        hub, "reply_tree", lambda request, path: hub.reply(request, 200, b'{"tree": [1]}')
    )
    code, text = fetch("routerarena", "--yes")
    assert (code, "does not list files as it should" in text) == (1, True)
    monkeypatch.setenv("GITHUB_API_URL", "localhost:1")
    code, text = fetch("routerarena", "--yes")
    assert (code, "Check the address" in text) == (1, True)
    monkeypatch.setenv("HTTP_PROXY", "odd://x")
    code, text = fetch("routerarena", "--yes")
    assert (code, "HTTP_PROXY" in text) == (2, True)


def test_size_and_licence_are_said_and_asked_about(hub: Hub, tmp_path: Path) -> None:
    hub.licence = "cc-by-nc-4.0"
    code, text = fetch("embedllm")
    assert code == 2
    assert text == "embedllm: licence cc-by-nc-4.0. Add --yes if you agree."
    hub.licence = None
    code, text = fetch("embedllm")
    assert (code, "no licence is stated" in text) == (2, True)
    code, text = fetch("embedllm", "--yes")
    assert code == 0
    assert "Licence: not stated" in text
    assert "2 files, 25." in text or "2 files" in text
    assert "In the proxy's YAML:" in text
    assert "kind: embedllm" in text
    hub.licence = "mit"
    code, _ = fetch("embedllm", "--to", "again")  # nothing to ask
    assert code == 0


def test_a_bucket_is_listed_in_pages_and_chosen_by_model_and_task(hub: Hub) -> None:
    hub.page = 3
    names = ("run_spec.json", "per_instance_stats.json", "instances.json", "stats.json")
    hub.files["crfm-helm-public"] = {
        f"lite/benchmark_output/runs/v1.0.0/{task}model={model}/{name}": f"{model}{name}".encode()
        for task in ("mmlu:subject=law,", "gsm:")
        for model in ("openai_gpt-4o-2024-05-13", "meta_llama-3-8b")
        for name in names
    } | {"lite/benchmark_output/runs/v1.0.0/schema.json": b"{}", "mmlu/other.json": b"{}"}
    wanted = ("--models", "openai/gpt-4o-2024-05-13", "--tasks", "mmlu")
    document = fetched("helm-lite", *wanted)
    assert sorted(file["path"].rpartition("/")[2] for file in document["files"]) == [
        *("instances.json", "per_instance_stats.json", "run_spec.json", "schema.json"),
    ]
    assert document["models"] == {"openai_gpt-4o-2024-05-13": "openai/gpt-4o-2024-05-13"}
    code, text = fetch("helm-lite", "--tasks", "none", "--yes")
    assert (code, "has none of these tasks; it has gsm, mmlu:subject=law" in text) == (2, True)


def test_a_set_with_a_repository_a_model_needs_names(hub: Hub) -> None:
    hub.files["open-llm-leaderboard/Qwen__Qwen2.5-7B-details"] = {
        "Qwen__Qwen2.5-7B/samples_leaderboard_ifeval_2024-11-01T00-00-00.json": b'{"a": 1}\n',
        "Qwen__Qwen2.5-7B/results_2024-11-01T00-00-00.json": b"{}",
        "README.md": b"",
    }
    code, text = fetch("open-llm-leaderboard")
    assert (code, "Name some with --models OWNER/NAME" in text) == (2, True)
    hub.absent = 401  # as the hub answers for a repository that does not exist
    names = "Qwen/Qwen2.5-7B,meta-llama/Llama-9"
    document = fetched("open-llm-leaderboard", "--models", names)
    assert len(document["files"]) == 2
    assert document["without_results"] == ["meta-llama/Llama-9"]
    code, text = fetch("open-llm-leaderboard", "--models", "a/b", "--yes")
    assert (code, "has no results of a/b" in text) == (2, True)
    hub.absent = 403
    code, text = fetch("open-llm-leaderboard", "--models", "a/b", "--yes")
    assert (code, "Accept the terms on its page, and set HF_TOKEN" in text) == (1, True)


def test_an_archive_is_unpacked_and_may_not_lead_out(hub: Hub) -> None:
    def archive(name: str) -> bytes:
        document = {"model_name": "ant", "dataset_name": "sums", "split": "test", "demo": False,
                    "records": [{"index": 0, "origin_query": "1+1?", "score": 1.0}]}  # fmt: skip
        content = json.dumps(document).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        return packed.getvalue()

    repo = "NPULH/OpenRouterBench"
    hub.files[repo] = {"bench-release.tar.gz": archive("bench/sums/test/ant/a.json")}
    document = fetched("llmrouterbench")
    (source,) = yaml.safe_load(document["yaml"])["benchrouter"]["sources"]
    assert read(source["kind"], Path(source["path"]), {}).samples.height == 1
    hub.files[repo] = {"bench-release.tar.gz": archive("../../outside.json")}
    code, text = fetch("llmrouterbench", "--yes", "--to", "deep/er")
    assert (code, "cannot be unpacked" in text) == (1, True)
    assert not Path("outside.json").exists()
    hub.files[repo] = {"../bench-release.tar.gz": b"x"}
    code, text = fetch("llmrouterbench", "--yes")
    assert (code, "leads out of the folder" in text) == (1, True)


ONE = "{name: x, title: X, kind: table, files: ['*'], hub: a/b}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sets: {", "is not YAML"),
        ("[]", "has no list `sets`"),
        ("sets: [{name: x}]", "sets[0].title: Field required"),
        ("sets: [{name: x, title: X, kind: table, files: ['*'], colour: red}]", "sets[0].colour"),
        ("sets: [{name: x, title: X, kind: table, files: ['*']}]", "needs one of hub, github"),
        (f"sets: [{ONE}, {ONE}]", "two sets are named x. Rename one"),
        (f"sets: [{ONE.replace('table', 'tables')}]", 'sets[0]: "tables" is not a kind of source'),
        (f"sets: [{ONE[:-1]}, options: {{nope: 1}}}}]", 'kind table has no option "nope"'),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_a_mistake_of_the_user(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    code, message = fetch("--list", "--catalogue", path)
    assert code == 2
    assert says in message
    assert str(path) in message


def test_patterns_say_which_model_and_task_a_path_is_of() -> None:
    bfcl = read_catalogue(None)["bfcl"]
    said = bfcl.matches(
        ["2024-08-11/score/ant/java_score.json", "2024-08-11/score/ant/other.txt",
         "2024-07-20/score/ant/java_score.json"]
    )  # fmt: skip
    assert said == {"2024-08-11/score/ant/java_score.json": {"model": "ant", "task": "java"}}
    entry = CatalogueEntry(
        name="x", title="X", kind="table", github="o/n", files=["{model}/{model}.csv", "all/**/*"]
    )
    assert list(entry.matches(["a/a.csv", "a/b.csv", "all/d/e/f.csv"])) == [
        "a/a.csv",
        "all/d/e/f.csv",
    ]


def test_a_model_is_known_by_the_tail_of_its_name_and_not_by_part_of_it() -> None:
    wanted = WantedModels({"mine": ["openai/gpt-4o", "gpt-4o"], "l": ["llama-3.1-8b"]})
    for name in ("gpt-4o", "openai_gpt-4o", "openai/GPT_4o", "x--gpt-4o"):
        assert wanted.of(name) == "mine", name
    for name in ("gpt-4o-mini", "gpt-4", "my-gpt-4o-tuned"):
        assert wanted.of(name) is None, name
    assert wanted.of("meta-llama__Llama-3.1-8B") == "l"
