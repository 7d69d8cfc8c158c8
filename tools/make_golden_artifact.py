"""Write the artifact version that tests keep loading: `tests/data/schema-<N>`.

    python tools/make_golden_artifact.py

Run it once for each schema version, when that is released, and never again: the point of the files
is that what an older release wrote still loads and decides the same.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from litellm_benchrouter.artifact.manifest import SCHEMA_VERSION
from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli import demo as run
from litellm_benchrouter.config import load_config
from litellm_benchrouter.routing.router import BenchRouter

TARGET = Path(__file__).parents[1] / "tests" / "data" / f"schema-{SCHEMA_VERSION}"
TASKS = ("code", "everyday", "math", "translation")
PER_TASK = 24
CONFIG = {
    "sources": [{"path": "benchmark.csv", "name": "golden"}],
    "models": {"coder-14b": {"params_b": 14}, "spark-3b": {"input_price_usd_per_mtok": 0.1}},
    "embedder": {"kind": "lexical", "dimensions": 12},
    "index": {"m": 4, "ef_construction": 64},
    "routing": {"alphas": [0.0, 0.1], "repeats": 2},
    "tasks": {"new": {"inputs": "new.txt"}},
}
PROMPTS = (
    "Translate into German: the tickets are on the table.",
    "Write a Python function that reverses a list of stamps.",
    "Jonas has 12 apples and gives away 3 of them. How many are left?",
    "Suggest a short walk.",
    "zzyzx",
    "",
)


def write_benchmark(folder: Path) -> None:
    """Take some of the demo's samples, with scores between 0 and 1 in place of labels."""
    with (Path(run.__file__).parent / "benchmark.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [row for task in TASKS for row in [r for r in rows if r["task"] == task][:PER_TASK]]
    models = [name for name in rows[0] if name not in ("sample_id", "task", "prompt")]
    for i, row in enumerate(kept):
        for m, model in enumerate(models):
            spread = ((7 * i + 3 * m) % 4) / 10
            row[model] = (
                "" if (i + m) % 17 == 0 else f"{0.6 + spread if row[model] == '1' else spread}"
            )
    with (folder / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(kept)
    inputs = [row["prompt"] for row in rows if row["task"] == "sql"][:20]
    (folder / "new.txt").write_text("\n".join(inputs) + "\n", encoding="utf-8")


def decisions(artifact: Artifact, method: str) -> list[dict[str, Any]]:
    """Decide prompts and tasks over all models and over some of them."""
    parameters = artifact.manifest.parameters | {"method": method}
    manifest = artifact.manifest.model_copy(update={"parameters": parameters})
    router = BenchRouter(replace(artifact, manifest=manifest))
    asked = [(prompt, None) for prompt in PROMPTS]
    asked += [("", task) for task in ("new", *TASKS, "unheard-of")]
    found = []
    for prompt, task in asked:
        for models in (list(router.models), list(router.models[1:3])):
            decision = router.decide(prompt, task=task, models=models)
            found.append(
                {"prompt": prompt, "task": task, "models": models, "method": decision.method}
                | {"ranking": list(decision.ranking), "scores": dict(decision.scores or {})}
            )
    return found


def main() -> None:
    """Build in a folder that is removed, and keep what matters of it."""
    if TARGET.exists():
        raise SystemExit(f"{TARGET} exists: what an older release wrote is not to be changed.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_benchmark(folder)
        (folder / "config.yaml").write_text(yaml.safe_dump({"benchrouter": CONFIG}))
        built = build(load_config(folder / "config.yaml"))
        root = folder / "router_artifacts"
        shutil.rmtree(root / "cache", ignore_errors=True)
        shutil.copytree(root, TARGET, ignore=shutil.ignore_patterns(".*"))
        artifact = read_artifact(built.folder)
        found = {method: decisions(artifact, method) for method in ("guarded", "paper")}
    (TARGET / "decisions.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
