"""Tables of a result, for a terminal and for a README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from peers_run.merge import runs
from peers_run.result import OURS, ROWS_OF_THE_BAR, bars, note_of

Result = dict[str, Any]

_FEWEST_OF_P99 = 100  # decisions, below which the slowest of them is all that it would say
_OF_ONE_RUN = "Measured in several runs on one machine; every ratio is of one of them."


def show(result: Result, console: Console) -> None:
    """Print everything that a run found."""
    several = runs(result)
    for run in several:
        _show_run(run, console)
    if len(several) > 1:
        console.print(_OF_ONE_RUN, highlight=False)
    for at in result.get("decisions", ()):
        _show_decisions(at, console)
    if "texts" in result:
        _show_texts(result["texts"], console)
    if "proxies" in result:
        _show_proxies(result["proxies"], console)
    table = _table("bar", "found", "wanted", "", numbers=(1, 2))
    for bar in bars(result):
        sign = ">=" if bar.at_least else "<="
        verdict = "met" if bar.met else "MISSED"
        table.add_row(bar.says, f"{bar.found:.2f}", f"{sign} {bar.wanted:g}", verdict)
    if table.row_count:
        console.print(table)


def _show_run(run: Result, console: Console) -> None:
    about = run["machine"]
    versions = ", ".join(f"{name} {found}" for name, found in about["versions"].items())
    lines = [
        f"{about['cores']} cores ({about['processor']}), {about['memory_gib']} GiB, load "
        f"{about['load_average']:.1f} at the start; Python {about['python']}, {versions}. "
        f"One thread each: {', '.join(run['of'])}."
    ]
    for name, part in run["parts"].items():
        child = part.get("peak_memory_gib_of_a_child", 0.0)
        lines.append(
            f"{name}: {part['seconds']:.0f} s, at most {part['peak_memory_gib']:.1f} GiB so far, "
            f"and {child:.1f} GiB of a process beside it"
        )
    console.print("\n".join(lines), highlight=False)


def _show_decisions(at: Result, console: Console) -> None:
    table = _table("system", "p50 (ms)", "p99 (ms)", "relative", "n", "", numbers=(1, 2, 3, 4))
    table.title = f"A decision without the embedding: {at['rows']:,} x {at['dimension']}"
    for each in at["systems"]:
        table.add_row(
            *(each["system"], f"{each['p50_ms']:.3f}", f"{each['p99_ms']:.3f}", _relative(each)),
            *(str(each["n"]), each["note"]),
        )
    console.print(table)
    _show_left_out(at, console)


def _show_texts(texts: Result, console: Console) -> None:
    columns = ("system", "p50 (ms)", "p99 (ms)", "embedding p50", "p99", "relative")
    table = _table(*columns, "", numbers=(1, 2, 3, 4, 5))
    table.title = (
        f"A whole decision from a text: {texts['asked']} prompts of {texts['prompts']}, "
        f"{texts['median_characters']:.0f} characters at the median; {texts['rows']:,} rows"
    )
    for each in texts["systems"]:
        embedding = [each.get(f"embedding_{key}_ms") for key in ("p50", "p99")]
        table.add_row(
            *(each["system"], f"{each['p50_ms']:.2f}", f"{each['p99_ms']:.2f}"),
            *("" if value is None else f"{value:.2f}" for value in embedding),
            *(_relative(each), each["note"]),
        )
    console.print(table)
    _show_left_out(texts, console)


def _show_proxies(proxies: Result, console: Console) -> None:
    columns = ("at once", "router", "p50 (ms)", "p99 (ms)", "requests/s", "relative")
    table = _table(
        *columns, "CPU (ms)", "relative", "models", "decided", numbers=(0, 2, 3, 4, 5, 6, 7, 8)
    )
    table.title = (
        f"The real proxy, {proxies['rounds']} rounds of {proxies['requests']} requests each; "
        f"relative to no router, median of the rounds and half of their middle half"
    )
    systems, before = proxies["systems"], None
    for each in systems:
        if before not in (None, each["at_once"]):
            table.add_section()
        before = each["at_once"]
        decided = ", ".join(f"{method} {share:.0%}" for method, share in each["decided"].items())
        table.add_row(
            *(str(each["at_once"]), each["proxy"], f"{each['p50_ms']:.1f}"),
            *(f"{each['p99_ms']:.1f}", f"{each['requests_per_second']:.1f}"),
            _relative(each, "rate_ratio"),
            f"{each['cpu_ms']:.2f}",
            _relative(each, "cpu_ratio"),
            *(str(each["models"]), decided),
        )
    console.print(table)
    for name, note in {each["proxy"]: each.get("note") for each in systems}.items():
        if note:
            console.print(f"{name}: {note}", highlight=False)
    _show_left_out(proxies, console)


def _show_left_out(part: Result, console: Console) -> None:
    for name, reason in part["left_out"].items():
        console.print(f"Left out: {name}: {reason}", highlight=False)


def _table(*columns: str, numbers: Sequence[int]) -> Table:
    table = Table(*columns, box=SIMPLE, title_justify="left")
    for column in table.columns[:2]:
        column.no_wrap = True
    for number in numbers:
        table.columns[number].justify = "right"
    return table


def _relative(found: Result, key: str = "ratio") -> str:
    return f"{found[key]:.2f} ±{found[f'{key}_half_width']:.2f}"


def markdown(result: Result) -> str:
    """Return the one table for the README: what the parts say of each system, side by side."""
    lines = ["| | p50 (ms) | p99 (ms) | relative |", "| --- | ---: | ---: | ---: |"]
    decisions = result.get("decisions", ())
    for at in decisions:
        if at["rows"] in (ROWS_OF_THE_BAR, max(at["rows"] for at in decisions)):
            lines.append(f"| **a decision without the embedding**, {at['rows']:,} rows | | | |")
            lines += _lines(at["systems"])
    if "texts" in result:
        lines.append("| **a whole decision, from a text** | | | |")
        lines += _lines(result["texts"]["systems"])
    systems = result.get("proxies", {}).get("systems", ())
    some = sorted({each["at_once"] for each in systems})
    at_once = 8 if 8 in some else next(iter(some), None)
    if at_once is not None:
        lines.append(f"| **the proxy at concurrency {at_once}**; relative throughput | | | |")
        for each in systems:
            if each["at_once"] == at_once:
                note = f" ({note_of(each)})" if note_of(each) else ""
                lines.append(
                    f"| {each['proxy']}{note} | {each['p50_ms']:.1f} | {each['p99_ms']:.1f} | "
                    f"{each['rate_ratio']:.2f} |"
                )
    if len(runs(result)) > 1:
        lines += ["", _OF_ONE_RUN]
    return "\n".join(lines)


def _lines(systems: Sequence[Result]) -> Iterator[str]:
    for each in systems:
        name = f"{each['system']}"
        shown = f"**{name}**" if name == OURS else name
        ratio = each["ratio"]
        p99 = f"{each['p99_ms']:.2f}" if each["n"] >= _FEWEST_OF_P99 else "-"
        yield (
            f"| {shown} | {each['p50_ms']:.2f} | {p99} | "
            f"{ratio:.{0 if ratio >= 20 else 1 if ratio >= 2 else 2}f} |"
        )
