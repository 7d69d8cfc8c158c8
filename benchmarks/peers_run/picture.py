"""One picture of a result: decisions by size, whole decisions, and the proxy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peers_run.result import OURS, note_of

Result = dict[str, Any]

_OURS = ("#0b6e4f", "#2f9e78", "#63b99b", "#8fcdb6", "#b4dfd0")
_PEERS = ("#c0562f", "#d98a5f", "#7d6b91", "#a99bb8", "#8a8f98")
_GREY = "#5b6168"
_BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}


def draw(result: Result, path: Path) -> None:
    """Draw a panel for each part that the result has."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels: list[tuple[Callable[[Any, Result], None], Result]] = []
    if result.get("decisions"):
        panels.append((_decisions, {"at": result["decisions"]}))
    if "texts" in result:
        panels.append((_texts, result["texts"]))
    if "proxies" in result:
        panels.append((_proxies, result["proxies"]))
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 10,
        "svg.hashsalt": "peers",
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(5.6 * len(panels), 4.6), layout="constrained", squeeze=False
        )
        for axis, (panel, part) in zip(axes[0], panels, strict=True):
            panel(axis, part)
        figure.savefig(path, dpi=130, facecolor="white")
        plt.close(figure)


def _decisions(axis: Any, part: Result) -> None:
    names = dict.fromkeys(each["system"] for at in part["at"] for each in at["systems"])
    for name, colour in zip(names, _colours(tuple(names)), strict=True):
        found = [
            (at["rows"], each["p50_ms"])
            for at in sorted(part["at"], key=lambda at: at["rows"])
            for each in at["systems"]
            if each["system"] == name
        ]
        rows, p50 = zip(*found, strict=True)
        axis.plot(rows, p50, "o-", color=colour, markersize=4, label=name)
    axis.set(xscale="log", yscale="log", xlabel="benchmark prompts", ylabel="p50 (ms)")
    axis.set_title(f"A decision without the embedding ({part['at'][0]['dimension']} dimensions)")
    _plain(axis.yaxis)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.grid(which="major", color="#e6e8ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8)


def _texts(axis: Any, part: Result) -> None:
    systems = part["systems"][::-1]
    names = [each["system"] for each in systems]
    p50 = [each["p50_ms"] for each in systems]
    p99 = [each["p99_ms"] for each in systems]
    colours = ["#0b6e4f" if name.startswith(OURS) else _PEERS[0] for name in names]
    for name, colour, low, high in zip(names, colours, p50, p99, strict=True):
        axis.plot((low, high), (name, name), color=colour, linewidth=2, alpha=0.35)
        axis.plot(low, name, "o", color=colour, markersize=6)
        shown = f"{low:.2g}" if low < 10 else f"{low:.0f}"
        axis.annotate(shown, (low, name), xytext=(-6, 0), ha="right", **_BESIDE)
    axis.set(xscale="log", xlabel="ms: p50, and the line to p99", xlim=(min(p50) / 3, None))
    _plain(axis.xaxis)
    axis.set_title(f"A whole decision, from a text ({part['median_characters']:.0f} characters)")


def _proxies(axis: Any, part: Result) -> None:
    every = sorted({each["at_once"] for each in part["systems"]})
    at_once = 8 if 8 in every else every[0]
    systems = [each for each in part["systems"] if each["at_once"] == at_once][::-1]
    notes = {each["proxy"]: note_of(each) for each in systems if note_of(each)}
    names = [each["proxy"] + "*" * (each["proxy"] in notes) for each in systems]
    ratios = [each["rate_ratio"] for each in systems]
    error = [each["rate_ratio_half_width"] for each in systems]
    colours = [
        "#0b6e4f" if name.startswith(OURS) else _PEERS[0] if "litellm" in name else _GREY
        for name in names
    ]
    axis.barh(names, ratios, xerr=error, color=colours, ecolor=_GREY, height=0.6)
    for name, each in zip(names, systems, strict=True):
        axis.annotate(f"{each['cpu_ms']:.1f} ms CPU", (0, name), xytext=(4, 0),
                      color="white", **_BESIDE)  # fmt: skip
    axis.axvline(1.0, color=_GREY, linewidth=0.8, linestyle=":")
    stars = [f"* {name}: {note}" for name, note in notes.items()]
    under = "\n".join(["throughput, relative to no router", *stars])
    axis.set_xlabel(under, loc="right" if stars else "center", fontsize=8)
    axis.set_title(f"The LiteLLM proxy at concurrency {at_once}")


def _plain(axis: Any) -> None:
    """Write 0.1, 1 and 10 in the place of powers."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter("")


def _colours(names: Sequence[str]) -> list[str]:
    ours, peers = iter(_OURS), iter(_PEERS)
    return [next(ours) if name.startswith(OURS) else next(peers) for name in names]
