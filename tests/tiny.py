"""A benchmark that builds in a tenth of a second, and ways to damage what was built."""

from __future__ import annotations

import csv
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import yaml

COMMAND = (sys.executable, "-c", "from litellm_benchrouter.cli import main; main()")
MODELS = ("ant", "bee", "cat", "dog")
TASKS = ("east", "north", "south", "west")


def write(folder: Path, *, seed: int = 0, n: int = 80, **block: Any) -> Path:
    """Write a benchmark with vectors, a named task `new`, and a configuration; return its path.

    Each task has a cluster of vectors and each model is good at one task; one label in ten is
    missing. Keys of `block` replace those of the `benchrouter:` block.
    """
    generator = np.random.default_rng(seed)
    task = np.arange(n) % len(TASKS)
    skill = np.full((len(TASKS), len(MODELS)), 0.45) + 0.4 * np.eye(len(TASKS))
    labels = generator.random((n, len(MODELS))) < skill[task]
    shown = np.where(generator.random(labels.shape) < 0.1, "", labels.astype(int).astype(str))
    with (folder / "benchmark.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sample_id", "task", "prompt", *MODELS])
        for i in range(n):
            table.writerow([f"s{i:03d}", TASKS[task[i]], prompt(i), *shown[i]])
    centre = generator.normal(size=(len(TASKS), 8))
    np.save(folder / "vectors.npy", centre[task] + 0.7 * generator.normal(size=(n, 8)))
    (folder / "new.txt").write_text("".join(f"Who is number {i}?\n" for i in range(24)))
    np.save(folder / "new.npy", centre[0] + 0.8 * generator.normal(size=(24, 8)))
    return configure(folder, **block)


def prompt(i: int) -> str:
    """Return a sample's prompt: tasks whose prompts differ in numbers alone would be variants."""
    return f"What is number {i} in the {TASKS[i % len(TASKS)]}?"


def configure(folder: Path, **block: Any) -> Path:
    """Write the configuration anew; keys of `block` replace those of the `benchrouter:` block."""
    whole = {
        "method": "paper",
        "publish": {"require": "nothing"},  # whatever it draws
        "sources": [{"path": "benchmark.csv", "embeddings": "vectors.npy"}],
        "embedder": {"kind": "precomputed"},
        "routing": {"alphas": [0.0, 0.1], "repeats": 2},
        "tasks": {"new": {"inputs": "new.txt", "embeddings": "new.npy"}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"benchrouter": whole | block}), encoding="utf-8")
    return path


def write_manifest(folder: Path, document: dict[str, Any]) -> None:
    """Seal a manifest as `router_artifacts/README.md` says, whatever it holds, and write it."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name in document["files"]:
            content = path.read_bytes()
            record = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
            document["files"][name] = record
    deciding = (
        *("schema_version", "files", "embedder", "parameters", "models", "tasks"),
        *("named_tasks", "index", "second"),
    )
    decided = {key: document[key] for key in deciding if key in document}
    if document.get("verdict") is not None:
        verdict = document["verdict"]
        decided["verdict"] = {key: verdict[key] for key in verdict if key != "forced"}
    content = as_written(decided)
    document["version"] = sha256(content).hexdigest()[:16]
    document["digest"] = sha256(as_written(document | {"digest": ""})).hexdigest()
    (folder / "manifest.json").write_bytes(as_written(document))


def read_document(folder: Path) -> dict[str, Any]:
    """Return a version's manifest as plain data."""
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return document


def as_written(document: object) -> bytes:
    """Return the one form of a JSON document."""
    return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path under a folder with its content; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
