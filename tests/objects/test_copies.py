"""Results behind URLs: on a web server, in S3, on a hub, in memory; what has not changed stays."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tiny
import yaml
from conftest import Ended

from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BenchRouterConfig, load_config, parse_config
from litellm_benchrouter.config.base import copy_path
from litellm_benchrouter.errors import (
    BenchRouterError,
    ConfigError,
    SourceError,
    StoreUnavailableError,
)
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.store.copies import copy_here
from objects.server import BUCKET, S3Server

HEAD = "task,prompt,ant,bee\n"
ROWS = "".join(f"t,What about {i}?,{i % 2},{int(i % 3 == 0)}\n" for i in range(24))


@dataclass
class WebServer:
    """Answers with files; a context manager. `asked` lists the paths of GET requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200

    def __enter__(self) -> WebServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                content = owner.files.get(self.path.removeprefix("http:/"))
                self.send_response(404 if content is None else owner.status)
                if tag := owner.tags.get(self.path):
                    self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET":
                    owner.asked.append(self.path)
                    self.wfile.write(content or b"")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer({"/runs/results.csv": (HEAD + ROWS).encode()}) as server:
        yield server


def configured(tmp_path: Path, *paths: str, **block: Any) -> BenchRouterConfig:
    sources = [{"path": path} for path in paths]
    config = parse_config({"sources": sources, "artifacts_cache": "cache"} | block, folder=tmp_path)
    assert all(source.path.is_relative_to(tmp_path) for source in config.sources if source.url)
    return config


def samples(config: BenchRouterConfig) -> int:
    return len(load_benchmark(config, Progress())[0])


def test_a_file_of_a_web_server_is_built_from_and_copied_again_where_it_may_have_changed(
    tmp_path: Path, web: WebServer, benchrouter: Callable[..., Ended]
) -> None:
    path = tmp_path / "config.yaml"
    url = f"{web.url}/runs/results.csv"
    block = {"sources": [{"path": url}], "artifacts_cache": str(tmp_path / "cache")}
    path.write_text(json.dumps({"benchrouter": block}))
    config = load_config(path)
    assert config.sources[0].url == url
    assert samples(config) == 24
    copy = config.sources[0].path
    assert copy.name == "results.csv"
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    web.tags["/runs/results.csv"] = '"one"'
    samples(config)
    before = len(web.asked)
    samples(config)
    assert len(web.asked) == before  # the server says that it is the same
    web.files["/runs/results.csv"] = (HEAD + ROWS + "t,One more,1,0\n").encode()
    web.tags["/runs/results.csv"] = '"two"'
    assert samples(config) == 25
    assert len(web.asked) > before
    ended = benchrouter("build", "--config", path)
    assert ended.code == 0, ended.err
    assert "results.csv" in ended.out


def test_check_and_init_take_a_url(
    tmp_path: Path, web: WebServer, benchrouter: Callable[..., Ended]
) -> None:
    url = f"{web.url}/runs/results.csv"
    ended = benchrouter("check", url, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["path"], document["samples"]) == (0, url, 24)
    assert f"path: {url}" in document["yaml"]
    web.files["/bad.csv"] = b"a,b\n1,2\n"
    ended = benchrouter("check", f"{web.url}/bad.csv")
    assert ended.code == 2
    assert f'{web.url}/bad.csv has no column "task"' in ended.out.replace("\n", " ")
    proxy = tmp_path / "proxy.yaml"
    model = {"model_name": "ant", "litellm_params": {"model": "openai/ant"}}
    proxy.write_text(yaml.safe_dump({"model_list": [model]}))
    assert benchrouter("init", "--config", proxy, "--source", url).code == 0
    assert load_config(proxy).sources[0].url == url


@pytest.mark.parametrize(
    ("path", "status", "kind", "said"),
    [
        ("/none.csv", 200, SourceError, "nothing is there"),
        ("/runs/results.csv", 403, StoreUnavailableError, "403"),
        ("/runs/results.csv", 500, StoreUnavailableError, "500"),
    ],
)
def test_what_a_web_server_refuses_is_said(
    tmp_path: Path, web: WebServer, path: str, status: int, kind: type[Exception], said: str
) -> None:
    web.status = status
    with pytest.raises(kind, match=said):
        samples(configured(tmp_path, web.url + path))


def test_a_server_that_is_not_there_is_said_and_no_password_is(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="does not answer") as caught:
        samples(configured(tmp_path, "http://me:hush@127.0.0.1:1/results.csv"))
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"sources\[0\].*Protocol not known: nothing"):
        samples(configured(tmp_path, "nothing://bucket/results.csv"))
    with pytest.raises(SourceError, match="names no file, folder or pattern"):
        samples(configured(tmp_path, "s3://bucket"))


def test_folders_and_patterns_are_copied_whole_and_what_is_gone_goes(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.rm("/", recursive=True)
    long = "task,prompt,score\n" + "".join(f"t,What about {i}?,{i % 2}\n" for i in range(24))
    for name in ("ant.csv", "bee.csv", "notes.txt"):
        files.pipe_file(f"/runs/{name}", long.encode())
    config = configured(tmp_path, "memory://runs/*.csv")
    assert load_benchmark(config, Progress())[0].models == ("ant", "bee")
    copies = config.sources[0].path.parent
    assert sorted(p.name for p in copies.iterdir()) == [".copies.json", "ant.csv", "bee.csv"]
    files.mv("/runs/bee.csv", "/runs/cat.csv")
    (copies / "dog.csv").write_text(long)  # left by a command that was killed before it took notes
    assert load_benchmark(config, Progress())[0].models == ("ant", "cat")
    files.pipe_file("/eval/table/samples.csv", (b"sample_id,task,prompt\n1,t,p\n2,t,q\n"))
    files.pipe_file(
        "/eval/table/scores.csv", (b"sample_id,model,score\n1,ant,1\n2,ant,0\n1,bee,1\n")
    )
    assert samples(configured(tmp_path, "memory://eval/table/")) == 2


def test_names_that_lead_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listing(_: object, name: str) -> dict[str, tuple[int, str]]:
        return {"runs/../../outside.csv": (1, "")}

    monkeypatch.setattr("litellm_benchrouter.store.remote.Remote.listing", listing)
    with pytest.raises(SourceError, match="no place for a copy"):
        copy_here("memory://a/runs", {}, copy_path("memory://a/runs", tmp_path), Progress())
    assert not (tmp_path.parent / "outside.csv").exists()


def test_s3_is_read_with_the_options_of_the_store_and_only_what_changed(
    tmp_path: Path, s3_server: S3Server
) -> None:
    options = {"client_kwargs": {"endpoint_url": s3_server.url}}
    files = fsspec.filesystem("s3", **options)
    place = f"s3://{BUCKET}/{tmp_path.name}"
    long = "task,prompt,score\n" + "".join(f"t,What about {i}?,{i % 2}\n" for i in range(24))
    for name in ("ant", "bee"):
        files.pipe_file(f"{place}/{name}.csv", long.encode())
    config = configured(tmp_path, f"{place}/*.csv", storage_options=options)
    assert samples(config) == 24
    copies = config.sources[0].path.parent
    ages = {p.name: p.stat().st_mtime_ns for p in copies.glob("*.csv")}
    files.pipe_file(f"{place}/bee.csv", (long + "t,One more,1\n").encode())
    assert samples(config) == 25
    later = {p.name: p.stat().st_mtime_ns for p in copies.glob("*.csv")}
    assert later["ant.csv"] == ages["ant.csv"]
    assert later["bee.csv"] != ages["bee.csv"]


def test_a_data_set_of_the_hub_is_read(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub, which litellm brings")
    content = (HEAD + ROWS).encode()
    entry = {"type": "file", "path": "results.csv", "size": len(content), "oid": "0" * 40}
    tree = "/api/datasets/o/n/tree/main?recursive=false&expand=false"
    about = json.dumps({"id": "o/n", "sha": "c0ffee"}).encode()
    answers = {
        "/api/datasets/o/n": about,
        tree: json.dumps([entry]).encode(),
        "/datasets/o/n/resolve/main/results.csv": content,
    }
    with WebServer(answers) as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
        command = [*tiny.COMMAND, "check", "hf://datasets/o/n/results.csv", "--json"]
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=120
        )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["samples"] == 24


def test_a_path_with_a_scheme_of_this_machine_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(HEAD + ROWS)
    config = configured(tmp_path, f"file://{tmp_path}/results.csv")
    assert config.sources[0].url is None
    assert samples(config) == 24
    with pytest.raises(BenchRouterError):
        samples(configured(tmp_path, "file:///nowhere/at/all.csv"))
