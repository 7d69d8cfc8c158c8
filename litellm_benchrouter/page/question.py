"""What the form asks, and the router's answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.explanation import Explanation
from litellm_benchrouter.routing.router import BenchRouter

_MOST_FIELDS = 5_000  # a benchmark may have hundreds of models, and each is a field


@dataclass(frozen=True)
class Question:
    """A filled-in form.

    Attributes
    ----------
    prompt : str
        May be empty.
    task : str
        Name of the task; may be empty.
    models : tuple of str
        The models that were ticked, whether the benchmark knows them or not.
    policy : str
        As it was typed; empty for the configuration's.
    """

    prompt: str = ""
    task: str = ""
    models: tuple[str, ...] = ()
    policy: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was asked."""
        return not self.prompt.strip() and not self.task

    def offer(self, known: Sequence[str]) -> list[str]:
        """Return the models on offer: those ticked that the benchmark knows, else all."""
        return [model for model in known if model in self.models] or list(known)


def parse_form(body: bytes) -> Question:
    """Read a form as browsers encode it; what is not UTF-8 becomes U+FFFD.

    Raises
    ------
    ValueError
        If it has more fields than any form of ours.
    """
    fields = parse_qsl(
        body.decode("utf-8", errors="replace"),
        keep_blank_values=True,
        errors="replace",
        max_num_fields=_MOST_FIELDS,
    )
    last = dict(fields)
    return Question(
        # Browsers send line ends as CR LF; clients of the proxy write LF.
        prompt=last.get("prompt", "").replace("\r\n", "\n"),
        task=last.get("task", "").strip(),
        models=tuple(value for key, value in fields if key == "model"),
        policy=last.get("policy", "").strip(),
    )


def ask(router: BenchRouter, question: Question, policy: Policy) -> Explanation:
    """Decide as the proxy does; the one place that says how.

    Parameters
    ----------
    router : BenchRouter
    question : Question
    policy : Policy
        What counts where the question names none.

    Raises
    ------
    ConfigError
        If the question names a policy that is none.
    """
    if question.policy:
        try:
            policy = Policy.parse(question.policy)
        except ValueError as error:
            raise ConfigError(f"{error}.") from error

    return router.explain(
        question.prompt,
        task=question.task or None,
        models=question.offer(router.models),
        terms=Terms(policy),
    )
