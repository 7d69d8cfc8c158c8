"""Cascades beside routing alone: their figures and the table behind them."""

from __future__ import annotations

from litellm_benchrouter.views import PERCENT, UNKNOWN, Table, number
from litellm_benchrouter.views.charts import METHOD, OURS, Axis, Figure, Parts, named_chart
from litellm_benchrouter.views.cost import curves_figure
from litellm_benchrouter.views.protocols import TITLES, Document, name_of

_TARGETS = {
    "equal_quality": "the quality of the best single model",
    "routing_quality": "the quality of routing",
    "quality_95": "95 % of the best single model's",
}


def cascade_section(document: Document) -> Parts:
    """Show what asking again is worth, by how well answers can be checked."""
    even = document["break_even"]["equal_quality"]
    words = [
        "A cascade asks a cheap model first, checks its answer, and asks a better model where the "
        "answer does not hold. How well a check tells right from wrong is its AUC: 0.5 knows "
        "nothing, and nothing is then asked again; 1 knows all. The checks here are simulated: "
        "each answer gets a score by chance, by itself. Real ones may err on the same questions "
        "as the models.",
        "At the quality of the best single model nothing is saved beside routing alone."
        if even["auc"] is None
        else f"At the quality of the best single model cascades begin to save at an AUC of about "
        f"{number(even['auc'], 2)}"
        + (
            "."
            if even["surely"] is None
            else f", and from about {number(even['surely'], 2)} on surely."
        ),
    ]
    return words, [curves_figure(document), _savings(document)]


def _savings(document: Document) -> Figure:
    rows = []
    for target, words in _TARGETS.items():
        for name, method in document["methods"].items():
            tuned = method["tuned"][target]
            if name == "routing" or tuned["saved_beside_routing"] is None:
                continue
            low, high = tuned["saved_beside_routing_over_samples_95"] or (None, None)
            rows.append(
                {
                    "name": f"{name_of(name)}, at {words}",
                    "x": tuned["saved_beside_routing"],
                    "text": PERCENT.value(tuned["saved_beside_routing"]),
                    "style": OURS if target == "equal_quality" else METHOD,
                    "low": low,
                    "high": high,
                }
            )
    return Figure(
        "cascade-saved",
        "What a cascade saves beside routing alone",
        [
            "For both the weight of cost was chosen on known questions so that the quality is "
            "held. The dot is what this saved on other questions, the bar its 95 % interval."
        ],
        [cascade_table(document)],
        named_chart(Axis("Cost saved beside routing", "percent"), rows, 0.0),
    )


def cascade_table(document: Document) -> Table:
    """List what each verifier's cascade saves at each quality."""
    rows = [
        [
            name_of(name),
            words,
            PERCENT.bare(tuned["saved"]),
            PERCENT.bare(tuned["saved_beside_routing"]),
            _between(tuned["saved_beside_routing_over_samples_95"]),
            PERCENT.difference(tuned["quality_gain"]),
            PERCENT.interval(tuned["quality_gain_over_samples_95"]),
            number(tuned["calls"], 2),
            PERCENT.bare(tuned["kept_and_wrong"]),
        ]
        for target, words in _TARGETS.items()
        for name, method in document["methods"].items()
        for tuned in [method["tuned"][target]]
    ]
    columns = (
        *("Rule", "Asked to hold", "Saved %", "Beside routing %", "95 %"),
        *("Quality, points", "95 %", "Calls", "Kept and wrong %"),
    )
    return Table(TITLES["cascade"], columns, rows, n_text=2)


def _between(bounds: object) -> str:
    low, high = bounds if isinstance(bounds, list | tuple) else (None, None)
    return UNKNOWN if low is None else f"[{PERCENT.bare(low)}, {PERCENT.bare(high)}]"
