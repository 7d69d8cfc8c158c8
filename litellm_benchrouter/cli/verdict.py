"""How commands show the verdict of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from litellm_benchrouter.artifact.verdict import TITLES, Part, points, sentence
from litellm_benchrouter.cli.options import number, table

_NOT_KNOWN = "-"


def show_verdict(out: Console, verdict: Mapping[str, Any]) -> None:
    """Print what was measured, and the verdict in words.

    Parameters
    ----------
    out : rich.console.Console
    verdict : mapping
        As the manifest keeps it.
    """
    shown = table(
        f"Verdict: {verdict['method']} against the best model on average (BMA), in points",
        "",
        "served",
        "gain",
        "95 %",
        "measured on",
        "worst task",
        "finding",
        right=("gain", "95 %"),
    )
    for part, title in TITLES.items():
        shown.add_row(title, *_row(verdict, part))
    if verdict["cost"] is not None:
        shown.add_row(*_cost(verdict["cost"]))
    out.print(shown)
    words = sentence(verdict)
    style = "green" if verdict["passes"] else "red"
    out.print(f"Verdict: {words}.", style=style, highlight=False)


def show_embedders(out: Console, compared: Mapping[str, Any]) -> None:
    """Print what the proof found with each embedder, and how long a prompt takes.

    Parameters
    ----------
    out : rich.console.Console
    compared : mapping
        As `compare_embedders` returns it.
    """
    shown = table(
        "Embedders: gain over the best model on average (BMA) in points [95 %], and the median "
        "time of a prompt on one CPU thread",
        "embedder",
        "ms",
        *TITLES.values(),
        "served",
        right=("ms", *TITLES.values()),
    )
    for each in compared["embedders"]:
        if "failed" in each:
            failed = f"does not work here: {each['failed']}"
            shown.add_row(each["kind"], *[_NOT_KNOWN] * (1 + len(TITLES)), failed)
            continue
        verdict = each["verdict"]
        gains = [
            f"{points(part['gain'])} [{_interval(part['gain_95'])}]" if part else _NOT_KNOWN
            for part in (verdict[name] for name in TITLES)
        ]
        served = ", ".join(f"{TITLES[part]}: {what}" for part, what in verdict["served"].items())
        shown.add_row(each["kind"], number(each["p50_ms"], 2), *gains, served)
    out.print(shown)


def _row(verdict: Mapping[str, Any], part: Part) -> tuple[str, ...]:
    found, served = verdict[part], verdict["served"][part]
    if found is None:
        return (served, *[_NOT_KNOWN] * 4, f"not proved: {verdict['unproven'][part]}")
    if part == "unseen":
        measured = f"{found['n_tasks']} of {found['of_tasks']} tasks"
        task = found["worst_task"]
        worst = f"{task['name']} {points(task['gain'])}" if task["gain"] < 0 else _NOT_KNOWN
    else:
        splits = "" if found["runs"] == 1 else f", {found['runs']} splits"
        measured, worst = f"{found['n_samples']} samples{splits}", _NOT_KNOWN
    return (
        served,
        points(found["gain"]),
        _interval(found["gain_95"]),
        measured,
        worst,
        _finding(found, verdict["tolerance"]),
    )


def _finding(found: Mapping[str, Any], tolerance: float) -> str:
    gain, low = found["gain"], found["gain_95"][0]
    if found["bma_because"] is not None:
        return f"BMA answers: {found['bma_because']}"
    if low > 0:
        return "gains"
    if gain > 0:
        return "gains, not significantly"
    return "no worse within the tolerance" if gain >= -tolerance else "loses"


def _cost(cost: Mapping[str, Any]) -> tuple[str, ...]:
    saved = "savings are not known"
    if cost["saved"] is not None:
        low, high = (f"{100 * limit:.0f}" for limit in cost["saved_95"])
        unit = "USD" if cost["unit"] == "usd" else "parameters"
        saved = f"saves {100 * cost['saved']:.0f} % [{low}, {high}] of the {unit}"
        saved += f" of {cost['best_single']}"
    if cost["n_models"] < cost["of_models"]:
        saved += f"; {cost['n_models']} of {cost['of_models']} models have a known cost"
    gain = _NOT_KNOWN if cost["quality_gain"] is None else points(cost["quality_gain"])
    measured = f"{cost['n_samples']} samples"
    return (
        "at equal quality",
        _NOT_KNOWN,
        gain,
        _interval(cost["quality_gain_95"]),
        measured,
        _NOT_KNOWN,
        saved,
    )


def _interval(limits: Sequence[float | None]) -> str:
    low, high = (_NOT_KNOWN if limit is None else points(limit) for limit in limits)
    return f"{low} to {high}"
