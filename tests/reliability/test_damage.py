"""Damage to every file of a version while an old one serves, in a process with the real loader."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.store.directory import Store

# A loader that has loaded one version, and CURRENT that names another, which is damaged again and
# again: each time it must be refused by the file's name, before hnswlib is asked, and the old one
# must serve on. A crash of the process is a failure of the test.
SCRIPT = """
import json, logging, os, random, sys
from pathlib import Path
import numpy as np
from litellm_benchrouter.index import hnsw
from litellm_benchrouter.config import load_config
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.loader import VersionLoader

config, old, new = load_config(Path("config.yaml")), sys.argv[1], sys.argv[2]
said, loads = [], []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("litellm_benchrouter").addHandler(handler)

def publish(version):
    (config.artifacts / "CURRENT").write_text(version + "\\n")

publish(old)
serving = VersionLoader(config, Executor(config.serving))
serving.refresh()
expected = serving.router.decide("Translate into Dutch: the tickets arrive on Monday.")
publish(new)
folder = config.artifacts / "versions" / new
load = hnsw.HnswIndex.load
hnsw.HnswIndex.load = lambda *a, **k: (loads.append(a), load(*a, **k))[1]
tried = []

def damage(path, content, name):
    whole = path.read_bytes()
    path.write_bytes(content)
    os.utime(folder / "manifest.json", ns=(len(tried) + 1,) * 2)  # as if written again
    said.clear()
    serving.refresh()
    path.write_bytes(whole)
    now = serving.router.decide("Translate into Dutch: the tickets arrive on Monday.")
    tried.append({"file": name, "said": list(said), "same": now == expected, "loads": len(loads)})

files = sorted(path for path in folder.rglob("*") if path.is_file())
random.seed(0)
if sys.argv[3] == "cut":
    for path in files:
        whole = path.read_bytes()
        for cut in np.linspace(0, len(whole) - 1, 12).astype(int):
            damage(path, whole[:cut], path.relative_to(folder).as_posix())
else:
    sizes = [path.stat().st_size for path in files]
    for n in range(int(sys.argv[4])):
        # Half of them anywhere, half in a file drawn first, so that small files are hit too.
        path = random.choices(files, sizes if n % 2 else None)[0]
        content = bytearray(path.read_bytes())
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        damage(path, bytes(content), path.relative_to(folder).as_posix())
serving.refresh()
for _ in range(30):
    serving.refresh()
print(json.dumps({"tried": tried, "last": serving.router.artifact.manifest.version}))
"""


@pytest.fixture(scope="module")
def two_versions(demo_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two versions of the demo: lexical embedder, method guarded."""
    folder = tmp_path_factory.mktemp("two") / "demo"
    shutil.copytree(demo_built, folder)
    config = load_config(folder / "config.yaml")
    build(config.model_copy(update={"seed": 1}))
    return folder


def run(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    store = Store(folder / "router_artifacts")
    old, new = (each.version for each in store.history()[:2])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, old, new, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr  # -11 would be a crash in a native loader
    document = json.loads(ended.stdout)
    assert document["last"] == new  # whole again, it is taken up
    tried: list[dict[str, Any]] = document["tried"]
    for each in tried:
        (line,) = each["said"]
        assert each["file"] in line
        assert line.endswith("; the old version serves on")
        assert each["same"]
        assert each["loads"] == 0
    return tried


def test_every_file_cut_off_anywhere_is_refused_by_name_and_the_old_version_serves(two_versions):
    tried = run(two_versions, "cut")
    files = {each["file"] for each in tried}
    assert len(tried) == 12 * len(files)
    assert files > {"manifest.json", "index.hnsw", "guarded.npz", "embedder/lexical_rows.npy"}


def flipped_bits_are_refused(folder: Path, n: int) -> None:
    tried = run(folder, "flip", n)
    assert len(tried) == n
    assert len({each["file"] for each in tried}) > 10


def test_a_hundred_flipped_bits_are_refused_before_hnswlib_and_the_old_version_serves(two_versions):
    flipped_bits_are_refused(two_versions, 100)


@pytest.mark.long
def test_a_thousand_flipped_bits_are_refused(two_versions):
    flipped_bits_are_refused(two_versions, 1_000)
