"""What the models are asked: the inputs of a task, with the references that answers are held to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.sources.tasks import JSON_LINES, prompt_key, read_inputs


@dataclass(frozen=True)
class Question:
    """One input.

    Attributes
    ----------
    prompt : str
        The text that the router routes by: of a conversation, the last user turn.
    messages : tuple of dict
        What is sent.
    reference : object
        A text, a list of texts of which any will do, or another JSON value; None where unknown.
    place : str
        Where it was read, for messages to the user.
    """

    prompt: str
    messages: tuple[dict[str, Any], ...]
    reference: Any
    place: str

    @property
    def key(self) -> str:
        """The SHA-256 by which the journal names it."""
        return prompt_key(self.prompt)


def read_questions(path: Path, where: str) -> list[Question]:
    """Read a task's inputs.

    Parameters
    ----------
    path : Path
        JSONL with `prompt` or `messages`, and `reference`; or text with one input a line, which
        then has no reference.
    where : str
        The option or key that names the file.

    Returns
    -------
    list of Question
        Equal ones once.

    Raises
    ------
    ConfigError
        If the file cannot be used, or two lines contradict each other.
    """
    # It also says what is wrong with the file, in the words that a build has for it.
    prompts = read_inputs(path, where)
    if path.suffix.lower() not in JSON_LINES:
        plain = [(f"input {i}", {"prompt": prompt}) for i, prompt in enumerate(prompts, start=1)]
        return _distinct([_question(entry, f"{path}, {place}") for place, entry in plain])
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            question = _question(json.loads(line), f"{path}, line {number}")
            if question.prompt.strip():
                found.append(question)
    return _distinct(found)


def _question(entry: object, place: str) -> Question:
    fields: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {"prompt": entry}
    reference = fields.get("reference")
    if reference is None or reference in ("", [], {}):
        reference = None
    prompt = fields.get("prompt", fields.get("input"))
    if isinstance(prompt, str):
        return Question(prompt, ({"role": "user", "content": prompt},), reference, place)
    messages = fields["messages"]
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in messages):
        raise ConfigError(
            f'{place} has messages that are not turns; give {{"role": "user", "content": "..."}}.'
        )
    return Question(last_user_turn(messages, {}), tuple(messages), reference, place)


def _distinct(questions: list[Question]) -> list[Question]:
    first: dict[str, Question] = {}
    for question in questions:
        known = first.setdefault(question.key, question)
        if (known.messages, known.reference) != (question.messages, question.reference):
            raise ConfigError(
                f"{question.place} repeats the prompt of {known.place} with another reference or "
                f"conversation; keep one of them, as labels are kept by the (last user) prompt."
            )
    return list(first.values())
