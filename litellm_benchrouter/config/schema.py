"""The JSON schema of a proxy's YAML with the `benchrouter:` block, for editors and checkers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import BLOCK, BenchRouterConfig

FILE = Path(__file__).with_name("benchrouter.schema.json")
"""The schema as it is shipped."""

_ATTRIBUTES = re.compile(r"\n\nAttributes\n-+\n(.*)", re.DOTALL)
_ENTRY = re.compile(r"^(\S[^\n:]*?)(?: : [^\n]*)?\n((?: +[^\n]*\n?|\n)*)", re.MULTILINE)


def proxy_schema() -> dict[str, Any]:
    """Return the JSON schema of a proxy's YAML: of our block; LiteLLM's own keys are left alone."""
    of_block = BenchRouterConfig.model_json_schema(ref_template="#/$defs/{model}")
    definitions = of_block.pop("$defs")
    name = BenchRouterConfig.__name__
    definitions[name] = of_block
    for each in definitions.values():
        _describe(each)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A LiteLLM proxy's YAML with the `{BLOCK}:` block",
        "type": "object",
        "properties": {BLOCK: {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}},
        "$defs": definitions,
    }


def _describe(schema: dict[str, Any]) -> None:
    """Turn the section `Attributes` of a docstring into descriptions of the keys."""
    text = schema.get("description", "")
    section = _ATTRIBUTES.search(text)
    if section is None:
        return
    schema["description"] = text[: section.start()].strip()
    for names, words in _ENTRY.findall(section[1]):
        for name in names.split(", "):
            if words.strip() and name in schema.get("properties", {}):
                schema["properties"][name]["description"] = " ".join(words.split())
