"""The report of an evaluation as one HTML file: no script, no network, light and dark.

`views.charts` draws the figures with the libraries of the extra `report`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from litellm_benchrouter.views import breakable, count, tight, without_nan
from litellm_benchrouter.views.cascade import cascade_section
from litellm_benchrouter.views.charts import draw, require_charts
from litellm_benchrouter.views.cost import cost_section
from litellm_benchrouter.views.curves import (
    distance_section,
    few_labels_section,
    labels_section,
    proof_section,
    robustness_section,
    traffic_section,
)
from litellm_benchrouter.views.evaluation import summarise
from litellm_benchrouter.views.figures import request_section, task_section
from litellm_benchrouter.views.protocols import GLOSSARY, NAMES, TITLES, Document, pool

_SECTIONS = {
    "task": task_section,
    "request": request_section,
    "cost": cost_section,
    "cascade": cascade_section,
    "few-labels": few_labels_section,
    "labels": labels_section,
    "distance": distance_section,
    "mlp": task_section,
    "robustness": robustness_section,
    "proof": proof_section,
    "traffic": traffic_section,
}


def render_html(result: Mapping[str, Any]) -> str:
    """Write the documents of `evaluate` as a page that needs no network and no scripts.

    `result` is one protocol's document, or `{"protocols": {NAME: document}}`, with None or NaN
    where a number is not known. Raises ConfigError where the extra `report` is not installed.
    """
    require_charts()
    result = without_nan(result)
    one = result.get("protocol")
    documents = result["protocols"] if one is None else {str(one["name"]): result}
    sections = [
        {
            "id": name,
            "title": TITLES[name],
            "pool": pool(documents[name]),
            "words": words,
            "figures": [(figure, Markup(draw(figure.chart, figure.title))) for figure in figures],
        }
        for name, make in _SECTIONS.items()
        if name in documents
        for words, figures in [make(documents[name])]
    ]
    environment = Environment(
        loader=PackageLoader("litellm_benchrouter", "views/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"tight": tight, "breakable": breakable}
    return environment.get_template("report.html.jinja").render(
        summary=summarise(documents),
        sections=sections,
        glossary=_glossary(documents),
        about=_about(documents),
        settings=[
            (name, [(key, _fact(value)) for key, value in document["protocol"].items()])
            for name, document in documents.items()
        ],
        version=_version(),
    )


def _glossary(documents: Mapping[str, Document]) -> list[tuple[str, str]]:
    """Explain the methods that occur, and no others."""
    used = {
        name
        for document in documents.values()
        for part in ("methods", "baselines")
        for name in document.get(part, {})
    }
    used |= {"zero_router" for document in documents.values() if "zero_router" in document}
    return [(NAMES[name], text) for name, text in GLOSSARY.items() if name in used]


def _about(documents: Mapping[str, Document]) -> str:
    """Say in a line what was evaluated."""
    protocols = [document["protocol"] for document in documents.values()]
    sources = [source.get("name") for source in protocols[0].get("sources", [])]
    parts = [", ".join(str(name) for name in sources if name)]
    models = max((len(p["models"]) for p in protocols if "models" in p), default=0)
    for key, one in (("n_samples", "question"), ("n_tasks", "task")):
        counts = [p[key] for p in protocols if p.get(key) is not None]
        parts.append(count(max(counts), one) if counts else "")
    parts.append(count(models, "model") if models else "")
    return " · ".join(part for part in parts if part)


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(_fact(inner) for inner in value)
    return "none" if value is None else str(value)


def _version() -> str:
    try:
        return version("litellm-benchrouter")
    except PackageNotFoundError:
        return ""
