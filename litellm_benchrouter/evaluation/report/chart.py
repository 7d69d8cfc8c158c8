"""Charts as data and scales; the templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from litellm_benchrouter.evaluation.report.words import number

WIDTH = 360.0
"""Of every chart, in its own units: about a telephone's pixels, so that text stays legible."""

_TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A scale with its marks.

    Attributes
    ----------
    label : str
    low, high : float
    text : callable
        Writes a mark's value.
    log : bool
    """

    label: str
    low: float
    high: float
    text: Callable[[float], str]
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies, 0 at `low` and 1 at `high`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Where marks are, as a share of the axis, and what they say."""
        values = _powers(self.low, self.high) if self.log else _steps(self.low, self.high)
        return [(self.at(value), self.text(value)) for value in values]


def axis(
    label: str,
    values: Iterable[float],
    *,
    text: Callable[[float], str] | None = None,
    log: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Axis:
    """Return an axis that holds all values with some room, or reaches exactly to `low` and `high`.

    A logarithmic axis takes the positive values only.
    """
    known = [value for value in values if value > 0 or not log] or [1.0]
    first, last = min(known), max(known)
    if log:
        room = max((last / first) ** 0.07, 1.2)
        first, last = first / room, last * room
    else:
        room = 0.06 * (last - first) or max(abs(last) * 0.1, 0.01)
        first, last = first - room, last + room
    first = first if low is None else low
    last = last if high is None else high
    return Axis(label, first, last, text or _plain(first, last, log=log), log)


@dataclass(frozen=True)
class Point:
    """A value of a series; `low` and `high` bound it, `text` is shown where a pointer rests."""

    x: float
    y: float
    text: str
    low: float | None = None
    high: float | None = None
    size: float = 4.0
    label: str = ""


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a marker as the chart draws it, and what it stands for."""

    shape: str
    style: str
    text: str
    lined: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one kind, drawn alike: `style` is a CSS class with its marker's shape."""

    name: str
    style: str
    points: list[Point]
    line: bool = False
    band: bool = False
    dots: bool = True

    @property
    def shape(self) -> str:
        """The marker, so that no series is told by colour alone."""
        return SHAPES.get(self.style, "circle")

    @property
    def key(self) -> Key:
        """Its entry in the legend."""
        return Key(self.shape if self.dots else "none", self.style, self.name, self.line)


SHAPES = {
    "ours": "circle",
    "s1": "square",
    "s2": "triangle",
    "s3": "diamond",
    "bma": "plus",
    "oracle": "ring",
    "model": "square",
    "other": "cross",
}


@dataclass(frozen=True)
class Plot:
    """Points over two axes."""

    title: str
    x: Axis
    y: Axis
    series: list[Series]
    diagonal: bool = False
    height: float = 300.0
    left: float = 46.0
    right: float = 12.0
    top: float = 24.0
    bottom: float = 42.0
    kind: str = field(default="plot", init=False)

    width = WIDTH

    def px(self, x: float) -> float:
        """Return the horizontal place of a value."""
        return round(self.left + self.x.at(x) * (self.width - self.left - self.right), 1)

    def py(self, y: float) -> float:
        """Return the vertical place of a value."""
        return round(self.height - self.bottom - self.y.at(y) * self.inner_height, 1)

    @property
    def inner_height(self) -> float:
        """Height of the plotted area."""
        return self.height - self.top - self.bottom

    @property
    def inner_width(self) -> float:
        """Width of the plotted area."""
        return self.width - self.left - self.right

    def path(self, series: Series) -> str:
        """Return the line through a series."""
        return self._through([(p.x, p.y) for p in series.points])

    def band(self, series: Series) -> str:
        """Return the area between the bounds of a series."""
        upper = [(p.x, p.y if p.high is None else p.high) for p in series.points]
        lower = [(p.x, p.y if p.low is None else p.low) for p in series.points]
        return self._through(upper + lower[::-1]) + "Z"

    def _through(self, points: Iterable[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.px(x)},{self.py(y)}" for x, y in points)


@dataclass(frozen=True)
class Row:
    """A line of a `Ranking`: its name, its value with bounds, and how it is drawn."""

    name: str
    value: float
    text: str
    style: str = "other"
    low: float | None = None
    high: float | None = None
    dots: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Ranking:
    """Values beneath one another on one axis, with a line where the reference lies."""

    title: str
    x: Axis
    rows: list[Row]
    reference: float | None = None
    row_height: float = 38.0
    side: float = 10.0
    top: float = 6.0
    bottom: float = 40.0
    kind: str = field(default="ranking", init=False)

    width = WIDTH

    @property
    def height(self) -> float:
        """Height of the chart."""
        return self.top + self.row_height * len(self.rows) + self.bottom

    def px(self, x: float) -> float:
        """Return the horizontal place of a value."""
        return round(self.side + self.x.at(x) * (self.width - 2 * self.side), 1)


Chart = Plot | Ranking


def _plain(low: float, high: float, *, log: bool) -> Callable[[float], str]:
    """Write as many digits as the steps between marks need."""
    if log:
        return lambda value: (
            f"{value:.6f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.0f}"
        )
    step = _step(low, high)
    digits = max(0, -math.floor(math.log10(step)))
    return lambda value: number(value, digits)


def percent_axis(
    label: str, values: Iterable[float], *, low: float | None = None, high: float | None = None
) -> Axis:
    """Return an axis of shares in [0, 1] that is read in percent."""
    made = axis(label, values, low=low, high=high)
    digits = max(0, -math.floor(math.log10(_step(made.low, made.high))) - 2)
    return Axis(label, made.low, made.high, lambda value: f"{number(100 * value, digits)} %")


def _step(low: float, high: float) -> float:
    rough = (high - low) / _TICKS
    power = float(10.0 ** math.floor(math.log10(rough)))
    return min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(step - rough))


def _steps(low: float, high: float) -> list[float]:
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where few of ten fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    factors = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [value for value in values if low <= value <= high]
