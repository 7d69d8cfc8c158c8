"""The section of the protocol `robustness`: does rewording a prompt change the pick?"""

from __future__ import annotations

from litellm_benchrouter.evaluation.report.chart import Ranking, Row, percent_axis
from litellm_benchrouter.evaluation.report.parts import Document, Figure, Section, Table
from litellm_benchrouter.evaluation.report.words import PERCENT, count, number

_TITLE = "When a prompt is written a little differently"
_LEAST = 0.1  # where the axis ends at the least: no change at all needs one too
_NAMES = {
    "case": "All lower case",
    "whitespace": "More white space",
    "typo": "A typo",
    "polite_prefix": "A polite greeting",
}


def robustness_section(document: Document) -> Section:
    """Show how often the pick changes when the meaning does not."""
    words = [
        f"{count(document['n_prompts'], 'prompt')} were asked again with changes that leave their "
        f"meaning alone. The pick changed in {PERCENT.value(document['changed_mean'])} of cases."
    ]
    rows = [
        Row(_NAMES.get(name, name), share, PERCENT.value(share), "method")
        for name, share in document["changed"].items()
        if share is not None
    ]
    figure = Figure(
        "robustness-changes",
        "How often the pick changes",
        ["Zero would be best; a model that is nearly as good may take the place of another."],
        (robustness_table(document),),
        Ranking(
            "Share of picks that change",
            percent_axis("Picks that change", [_LEAST, *(row.value for row in rows)], low=0.0),
            rows,
        ),
    )
    return Section("robustness", _TITLE, words, [figure])


def robustness_table(document: Document) -> Table:
    """Each perturbation with the share of picks that it changes."""
    rows = [
        [_NAMES.get(name, name), PERCENT.bare(share), number(document["altered"][name], 0)]
        for name, share in document["changed"].items()
    ]
    return Table(_TITLE, ("Change", "Picks changed %", "Prompts altered"), rows)
