"""What the proof of a version found: kept in its manifest, read before it is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

BMA = "bma"
"""The best model on average answers: it gains nothing on itself, and cannot lose to itself."""

NOTHING = "nothing"
"""`publish.require`: publish whatever the verdict is."""

Part = Literal["unseen", "requests"]
TITLES: Mapping[Part, str] = {"unseen": "new tasks", "requests": "requests"}


@dataclass(frozen=True)
class Verdict:
    """Gains over the best model on average (BMA) on held-out tasks and samples.

    Attributes
    ----------
    method : str
        `guarded` or `paper`.
    served : mapping of str to str
        What answers `unseen` tasks and `requests`: `guarded`, `s3`, `s1` or `bma`.
    unseen, requests : dict or None
        What was measured of the method's picks; `expected_gain` is of what is served, 0 where BMA
        is, and `bma_because` says why it is. None where nothing could be measured.
    cost : dict or None
        What is saved at equal quality; None where no costs are known.
    unproven : mapping of str to str
        Why a part is None.
    required : str
        `no-worse-than-bma` or `nothing`.
    tolerance : float
        Largest loss that passes, as accuracy.
    forced : bool
        Published although it does not pass.
    """

    method: str
    served: Mapping[Part, str]
    unseen: Mapping[str, Any] | None
    requests: Mapping[str, Any] | None
    cost: Mapping[str, Any] | None
    required: str
    tolerance: float
    unproven: Mapping[str, str] = field(default_factory=dict)
    forced: bool = False

    @property
    def passes(self) -> bool:
        """Whether what is required holds: nothing that was measured loses beyond the tolerance."""
        return self.required == NOTHING or not losses(asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return what the manifest keeps."""
        return asdict(self) | {"passes": self.passes}


def losses(verdict: Mapping[str, Any]) -> dict[Part, float]:
    """Return the parts that lose more than the tolerance, with their gains.

    Parameters
    ----------
    verdict : mapping
        As the manifest keeps it.
    """
    measured = {part: verdict[part]["expected_gain"] for part in TITLES if verdict[part]}
    return {part: gain for part, gain in measured.items() if gain < -verdict["tolerance"]}


def sentence(verdict: Mapping[str, Any]) -> str:
    """Say a manifest's verdict in a sentence."""
    lost, tolerance = losses(verdict), f"{100 * verdict['tolerance']:g} points"
    if lost:
        parts = " and ".join(f"{points(gain)} points on {TITLES[p]}" for p, gain in lost.items())
        said = f"loses to the best model on average: {parts}, {tolerance} are tolerated"
        if verdict["forced"]:
            return f"{said}; published by --force all the same"
        return f"{said}; nothing better is required" if verdict["passes"] else said
    if not any(verdict[part] for part in TITLES):
        return f"there is nothing to prove it on: {verdict['unproven']['requests']}"
    unproven = [f"; {TITLES[p]} are not proved: {verdict['unproven'][p]}" for p in TITLES
                if not verdict[p]]  # fmt: skip
    return f"no worse than the best model on average (tolerance {tolerance}){''.join(unproven)}"


def points(gain: float) -> str:
    """Format a gain in points of accuracy, with its sign; nothing is not negative."""
    return f"{100 * gain + 0.0:+.1f}".replace("-0.0", "+0.0")
