"""Results of several runs as one: sizes that take long are measured on their own.

What is compared with each other was asked in turns, so that a ratio is always of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers_run.result import bars

Result = dict[str, Any]


def merge(results: Sequence[Result]) -> Result:
    """Put together what each result has; what a later one has again replaces it.

    Returns
    -------
    dict
        As of one run, but with `runs` in the place of `machine` and `parts`: what was taken
        `of` each of them, with its machine and its parts.

    Raises
    ------
    ValueError
        If machines or dimensions differ.
    """
    if len(results) == 1:
        return results[0]
    taken: dict[str, tuple[Result, Any]] = {}
    for result in results:
        pieces = _pieces(result)
        for run in runs(result):
            taken |= {name: (run, pieces[name]) for name in run["of"]}
    used = {id(run): run for run, _ in taken.values()}
    merged: Result = {
        "runs": [
            run | {"of": [name for name, (other, _) in taken.items() if other is run]}
            for run in used.values()
        ]
    }
    _check_same("machine", {_machine(run) for run in used.values()})
    decisions = [piece for name, (_, piece) in taken.items() if name not in _WHOLE]
    if decisions:
        merged["decisions"] = sorted(decisions, key=lambda at: at["rows"])
        _check_same("dimension", {str(at["dimension"]) for at in decisions})
    merged |= {name: taken[name][1] for name in _WHOLE if name in taken}
    merged["bars"] = [bar.as_json() for bar in bars(merged)]
    return merged


def runs(result: Result) -> list[Result]:
    """Return the runs that a result is of, each with the names of what was taken of it."""
    if "runs" in result:
        return list(result["runs"])
    about = {key: result.get(key, {}) for key in ("machine", "parts")}
    return [about | {"of": list(_pieces(result))}]


_WHOLE = ("texts", "proxies")


def _pieces(result: Result) -> dict[str, Any]:
    sizes = {f"decisions at {at['rows']:,} rows": at for at in result.get("decisions", ())}
    return sizes | {name: result[name] for name in _WHOLE if name in result}


def _machine(run: Result) -> str:
    about = run["machine"]
    return f"{about['cores']} cores of {about['processor']}, {about['memory_gib']} GiB"


def _check_same(what: str, found: set[str]) -> None:
    if len(found) > 1:
        listed = " and ".join(sorted(found))
        raise ValueError(f"their {what} differs ({listed}), so that they say nothing together")
