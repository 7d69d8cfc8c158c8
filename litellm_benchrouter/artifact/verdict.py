"""What the proof of a version showed: kept in its manifest, read before it is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

BMA = "bma"
"""The best model on average answers: it gains nothing on itself, and cannot lose to itself."""

NOTHING, GAINS = "nothing", "gains"
"""`publish.require`: publish whatever the verdict is, or only what is shown to gain."""

Part = Literal["requests", "named", "unseen", "traffic"]
TITLES: Mapping[Part, str] = {
    "requests": "requests",
    "named": "tasks of the benchmark",
    "unseen": "new tasks",
}
TOO_FEW = "too few tasks to claim a gain"


@dataclass(frozen=True)
class Verdict:
    """Gains over the best model on average (BMA) on held-out tasks and samples.

    Of a part, `gain` and `gain_95` were measured of the method's picks; `served`, `expected_gain`,
    `lower` (the lower bound of 95 %) and `claim` are of what is served: 0 where BMA is, and
    `bma_because` says why. A part that could not be measured is None, and `unproven` says why.
    """

    method: str
    # `guarded`, `posterior`, `measured`, `s3`, `s1` or `bma` for each part
    served: Mapping[Part, str]
    unseen: Mapping[str, Any] | None
    requests: Mapping[str, Any] | None
    cost: Mapping[str, Any] | None  # saved at equal quality; None where no costs are known
    required: str
    tolerance: float  # largest loss that passes, as accuracy
    named: Mapping[str, Any] | None = None
    unproven: Mapping[str, str] = field(default_factory=dict)
    forced: bool = False  # published although it does not pass
    # the same of own labels, each prompt decided without those of its group, and
    # `labels_to_settle`; it holds no version back; None where there are none
    traffic: Mapping[str, Any] | None = None

    @property
    def passes(self) -> bool:
        """Whether what is required holds of every part that is not answered by BMA."""
        verdict = asdict(self)
        if self.required == GAINS:
            gains = (part.get("claim") == GAINS for part in _served(verdict).values())
            return not losses(verdict) and any(gains)
        return self.required == NOTHING or not losses(verdict)

    def as_dict(self) -> dict[str, Any]:
        """Return what the manifest keeps."""
        verdict = asdict(self) | {"passes": self.passes}
        return verdict if self.traffic else {k: v for k, v in verdict.items() if k != "traffic"}


def claim(part: Mapping[str, Any], tolerance: float, *, too_few: bool = False) -> str:
    """Say what a part's lower bound allows to claim; too few families of tasks allow no gain."""
    if part["served"] == BMA:
        return "the best model on average answers"
    if part["lower"] <= -tolerance:
        return "not shown to be no worse"
    if too_few:
        return TOO_FEW
    return GAINS if part["lower"] > 0 else "no worse"


def _served(verdict: Mapping[str, Any]) -> dict[Part, Mapping[str, Any]]:
    """Return the parts that were measured and are not answered by BMA."""
    parts = {part: verdict.get(part) for part in TITLES}
    return {
        p: measured
        for p, measured in parts.items()
        if measured and measured.get("bma_because") is None
    }


def losses(verdict: Mapping[str, Any]) -> dict[Part, float]:
    """Return the parts not shown to lose no more than the tolerance, with their bounds.

    Of versions built before there were bounds, the gain counts.
    """
    lower = {p: part.get("lower", part["expected_gain"]) for p, part in _served(verdict).items()}
    return {part: bound for part, bound in lower.items() if bound <= -verdict["tolerance"]}


def sentence(verdict: Mapping[str, Any]) -> str:
    """Say a manifest's verdict in a sentence."""
    lost, tolerance = losses(verdict), f"{100 * verdict['tolerance']:g} points"
    served = _served(verdict)
    if lost:
        parts = " and ".join(f"{points(low)} points on {TITLES[p]}" for p, low in lost.items())
        text = (
            f"is not shown to be no worse than the best model on average: at least {parts}, "
            f"{tolerance} are tolerated"
        )
        if verdict["forced"]:
            return f"{text}; published by --force all the same"
        return f"{text}; nothing better is required" if verdict["required"] == NOTHING else text
    if not any(verdict.get(part) for part in TITLES):
        return f"there is nothing to prove it on: {verdict['unproven']['requests']}"
    gains = [
        f"{points(part['lower'])} points on {TITLES[p]}"
        for p, part in served.items()
        if part.get("claim") == GAINS
    ]
    text = f"no worse than the best model on average (tolerance {tolerance})"
    if gains:
        text = f"gains at least {' and '.join(gains)} over the best model on average"
    elif not served:
        text = "is the best model on average: nothing was shown to gain over it"
    if verdict["required"] == GAINS and not gains:
        text += "; a gain is required" + ("; published by --force" if verdict["forced"] else "")
    unproven = [f"; {TITLES[p]} are not proved: {verdict['unproven'][p]}" for p in TITLES
                if not verdict.get(p) and p in verdict["unproven"]]  # fmt: skip
    return text + "".join(dict.fromkeys(unproven))


def points(gain: float) -> str:
    """Format a gain in points of accuracy, with its sign; nothing is not negative."""
    return f"{100 * gain + 0.0:+.1f}".replace("-0.0", "+0.0")
