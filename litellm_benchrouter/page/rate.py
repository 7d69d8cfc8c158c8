"""`benchrouter serve --rate`: answers to own traffic side by side, rated blind by a person.

No model is named before the last prompt is rated. Each rating is on the disk, as a label in the
journal, before the next prompt is shown.
"""

from __future__ import annotations

import json
import threading
from string import ascii_uppercase
from typing import Any

from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.people import Comparison, Rater, agreement
from litellm_benchrouter.page import fields_of, open_templates, style_of
from litellm_benchrouter.views import Table, number

RATINGS = (("right", 1.0), ("partly", 0.5), ("wrong", 0.0))
"""What an answer can be called, and the label that it becomes."""


class RatingPage:
    """One prompt at a time, with two or three answers to it."""

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self._passed_over: list[str] = []  # until the server ends
        self._rated: list[str] = []  # the way back
        self._lock = threading.Lock()
        templates = open_templates()
        self._template = templates.get_template("rate.html.jinja")
        self._error = templates.get_template("error.html.jinja")
        self.style = style_of(templates)
        self.script = templates.get_template("rate.js").render()

    def warm_up(self) -> str | None:
        """Return what is wrong with the journal, if anything is, or that it holds no answers."""
        try:
            _, different = self._rater.progress(self._rater.journal())
        except BenchRouterError as error:
            return str(error)
        if different:
            return None
        return f"{self._rater.path} holds no prompt with two different answers. {_FIRST}."

    def show(self) -> str:
        """Return the page with the next prompt."""
        with self._lock:
            return self._next()

    def answer(self, body: bytes) -> str:
        """Take what was rated, and return the page with the next prompt, or the one before."""
        fields = dict(fields_of(body))
        key, action = fields.get("key", ""), fields.get("action", "rate")
        values = dict(RATINGS)
        scores = {name[6:]: values[value] for name, value in fields.items()
                  if name.startswith("score-") and value in values}  # fmt: skip
        with self._lock:
            if action == "back":
                return self._back()
            if action == "skip":
                self._passed_over.append(key)
                return self._next()
            try:
                n_labels = self._rater.rate(key, scores)
            except BenchRouterError as error:
                return self._next(f"Nothing was saved: {error}")
            if not n_labels:
                return self._next("Nothing was saved: the answers are not in the journal.")
            self._rated = [*(one for one in self._rated if one != key), key]
            return self._next()

    def sorry(self, title: str, sentence: str) -> str:
        """Return a page that says what went wrong."""
        return self._error.render(title=title, sentence=sentence)

    def _back(self) -> str:
        try:
            journal = self._rater.journal()
            while self._rated:
                before = self._rater.again(journal, self._rated.pop())
                if before is not None:
                    return self._render(journal, before[0], scores=before[1])
        except BenchRouterError as error:
            return self._next(str(error))
        return self._next("There is nothing before this one.")

    def _next(self, note: str = "") -> str:
        try:
            journal = self._rater.journal()
        except BenchRouterError as error:
            return self.sorry("The labels cannot be read", str(error))
        return self._render(journal, self._rater.next(journal, self._passed_over), note)

    def _render(
        self,
        journal: Journal,
        comparison: Comparison | None,
        note: str = "",
        scores: dict[str, float] | None = None,
    ) -> str:
        rated, different = self._rater.progress(journal)
        names = {value: name for name, value in RATINGS}
        answers: list[dict[str, Any]] = []
        for letter, (digest, text) in zip(
            ascii_uppercase, comparison.answers if comparison else (), strict=False
        ):
            chosen = names.get((scores or {}).get(digest, -1.0), "")
            answers.append({"letter": letter, "digest": digest, "text": text, "chosen": chosen})
        reference = None if comparison is None else comparison.reference
        if reference is not None and not isinstance(reference, str):
            reference = json.dumps(reference, ensure_ascii=False, indent=1)
        return self._template.render(
            comparison=comparison,
            answers=answers,
            reference=reference,
            ratings=[name for name, _ in RATINGS],
            note=note,
            rated=rated,
            different=different,
            passed_over=len(self._passed_over),
            judge=None if comparison else _judge_table(journal),
            first=_FIRST,
            path=str(self._rater.path),
        )


_FIRST = "Ask models first: benchrouter label --traffic"


def _judge_table(journal: Journal) -> Table | None:
    people = agreement(journal)
    if not people["compared"]:
        return None
    rows = [[each["model"], str(each["compared"]), number(each["bias"])] for each in people["bias"]]
    title = f"A judge beside people: {people['agreement']:.0%} of {people['compared']} agree"
    return Table(title, ("Model", "Compared", "Judge's bias"), rows)
