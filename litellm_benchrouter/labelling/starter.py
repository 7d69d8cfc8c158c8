"""The starter set: prompts with checks, to get a first benchmark of one's own models."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def starter_rows() -> list[dict[str, Any]]:
    """Return the rows of starter.jsonl: task, language, level, metric, prompt, reference."""
    text = files("litellm_benchrouter.labelling").joinpath("starter.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
