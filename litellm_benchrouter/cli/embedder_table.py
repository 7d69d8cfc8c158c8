"""How commands show what was measured of the embedders that `auto` tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from litellm_benchrouter.cli.options import number, table

_RIGHT = ("p50 ms", "new tasks", "in distribution", "behind")


def show_candidates(out: Console, auto: Mapping[str, Any]) -> None:
    """Print the candidates, those that do not work here, and which one was taken and why.

    Parameters
    ----------
    out : rich.console.Console
    auto : mapping
        `embedder_measured.auto` of a manifest.
    """
    whole = auto["n_samples"] == auto["of_samples"]
    sample = "all" if whole else f"{auto['n_samples']} of {auto['of_samples']}"
    shown = table(
        f"Embedders on {sample} prompts: accuracy [95 % of the gain over the best model on "
        f"average], one prompt on one CPU thread",
        "embedder",
        "p50 ms",
        "new tasks",
        "in distribution",
        "behind",
        "finding",
        right=_RIGHT,
    )
    for each in auto["candidates"]:
        finding = "level with the best" if each["level"] else "behind, or too slow"
        shown.add_row(
            each["kind"] if each["precision"] is None else f"{each['kind']} ({each['precision']})",
            number(each["p50_ms"]),
            *(_part(each[part]) for part in ("unseen", "requests")),
            number(each["loss"]),
            "taken" if each["kind"] == auto["chosen"] else finding,
        )
    for failed in auto["failed"]:
        shown.add_row(failed["kind"], *["-"] * len(_RIGHT), f"does not work: {failed['reason']}")
    out.print(shown)
    out.print(f"Embedder {auto['chosen']}: {auto['because']}.", highlight=False)


def _part(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    low, high = ("-" if limit is None else f"{limit:+.3f}" for limit in found["gain_95"])
    return f"{number(found['accuracy'])} [{low}, {high}]"
