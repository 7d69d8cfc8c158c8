"""From documents to one HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from litellm_benchrouter.evaluation.report.parts import Document, without_nan
from litellm_benchrouter.evaluation.report.sections import SECTIONS
from litellm_benchrouter.evaluation.report.verdict import verdict
from litellm_benchrouter.evaluation.report.words import GLOSSARY, NAMES, count, tight

_PUNCTUATION = re.compile(r"(?<=[_/-])")


def render_html(result: Mapping[str, Any]) -> str:
    """Write what `evaluate` found as a page that needs no network and no scripts.

    Parameters
    ----------
    result : mapping
        One protocol's document, or `{"protocols": {NAME: document}}`; None or NaN where a number
        is not known.

    Returns
    -------
    str
        HTML.
    """
    result = without_nan(result)
    documents = result["protocols"] if "protocols" in result else {_name(result): result}
    sections = [make(documents[name]) for name, make in SECTIONS.items() if name in documents]
    environment = Environment(
        loader=PackageLoader("litellm_benchrouter.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"tight": tight, "breakable": _breakable}
    return environment.get_template("page.html.jinja").render(
        verdict=verdict(documents),
        sections=sections,
        glossary=_glossary(documents),
        about=_about(documents),
        settings=_settings(documents),
        version=_version(),
    )


def _breakable(name: str) -> Markup:
    """Let a long name break after its punctuation."""
    return Markup("<wbr>").join(_PUNCTUATION.split(name))


def _name(document: Document) -> str:
    return str(document["protocol"]["name"])


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
        found = [p[key] for p in protocols if p.get(key) is not None]
        parts.append(count(max(found), one) if found else "")
    parts.append(count(models, "model") if models else "")
    return " · ".join(part for part in parts if part)


def _settings(documents: Mapping[str, Document]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what each protocol ran with, for whoever wants to run it again."""
    return [
        (name, [(key, _fact(value)) for key, value in document["protocol"].items()])
        for name, document in documents.items()
    ]


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
