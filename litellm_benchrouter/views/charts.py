"""Charts drawn by Altair and vl-convert, the extra `report`, as SVG without scripts.

Colours are the page's CSS variables, so a chart follows the reader's light or dark theme.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.views import PERCENT, Table
from litellm_benchrouter.views.protocols import Document, heading_of, metric_of, name_of, ordered

if TYPE_CHECKING:
    import altair as alt

OURS, BMA, METHOD, ANSWERS = "ours", "bma", "method", "answers"
SINGLE = "model"
"""Styles of marks; a line of another method has `first`, `second` or `third`."""

_KEYS = {
    OURS: "the router that the verdict is about",
    BMA: "BMA, the best single model",
    METHOD: "other methods",
    ANSWERS: "needs the answers: for comparison only",
    SINGLE: "a single model",
}
_LINES = {
    "default": OURS,
    **dict.fromkeys(("s1", "raw"), "first"),
    **dict.fromkeys(("s2", "s1_prior", "beta20"), "second"),
    **dict.fromkeys(("s3",), "third"),
    **dict.fromkeys(("bma", "zero_router"), BMA),
    **dict.fromkeys(("oracle", "task_oracle"), ANSWERS),
}
_WIDTH = 310  # of the plotted area: a telephone shows the whole at its own size
_WITH_AXIS = 260  # the same beside an axis
_HEIGHT = 250
_STEP = 36  # between names beneath one another
_LETTER = 7.2  # as wide as one of a number in a wide font
_NARROWER = 0.82  # the font that measures a name, beside a wide one that shows it
_STYLES = {  # colour, shape, dashes
    "ours": ("--ours", "circle", [1, 0]),
    "first": ("--first", "square", [7, 3]),
    "second": ("--second", "triangle-up", [2, 3]),
    "third": ("--third", "diamond", [9, 3, 2, 3]),
    "bma": ("--ink", "diamond", [5, 4]),
    "method": ("--muted", "circle", [3, 2]),
    "answers": ("--model", "triangle-up", [1, 2]),
    "model": ("--model", "M0,-1.6L0,1.6L0.35,1.6L0.35,-1.6Z", [1, 0]),
}
_LABELS = {
    "percent": "format(100 * datum.value, '~r') + ' %'",
    "points": "format(100 * datum.value, '+~r')",
    "plain": "format(datum.value, '~r')",
}


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """A scale: `unit` is percent, points or plain, `ticks` its marks where they are given."""

    title: str
    unit: str = "plain"
    log: bool = False
    ticks: Sequence[float] = ()
    domain: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """Marks over one or two axes."""

    x: Axis
    y: Axis | None  # None where names stand beneath one another
    # `series`, `x`, and `low` and `high` where known; `y` of a line, or `name` and `text`
    rows: Sequence[Row]
    series: Mapping[str, str]  # labels of the legend with their styles
    reference: float | None = None  # where a dashed line crosses the axis of values
    dots: Sequence[tuple[float, float]] = ()  # single points behind the lines
    letters: Sequence[tuple[float, float, str]] = ()  # lettered points above them
    diagonal: bool = False
    points: bool = True  # whether lines have a point at each value


@dataclass(frozen=True)
class Figure:
    """A picture, what it says in words, and the numbers behind it."""

    id: str
    title: str
    words: Sequence[str]
    tables: Sequence[Table]
    chart: Chart


Parts = tuple[list[str], list[Figure]]
"""The words of a section, and its figures."""


def metric_axis(document: Document) -> Axis:
    """Return the axis of a document's metric."""
    metric, _, unit = metric_of(document)
    return Axis(heading_of(metric).removesuffix(" %"), "percent" if unit is PERCENT else "plain")


def named_chart(axis: Axis, rows: Sequence[Row], reference: float | None = None) -> Chart:
    """Return a chart of names beneath one another, with a legend of the styles that occur."""
    styles = {row["style"] for row in rows}
    series = {text: style for style, text in _KEYS.items() if style in styles}
    marks = [{**row, "series": _KEYS[row["style"]]} for row in rows]
    return Chart(axis, None, marks, series, reference)


def line_styles(series: Iterable[str]) -> dict[str, str]:
    """Give each method of a chart of lines a style of its own."""
    return {name_of(name): _LINES.get(name, METHOD) for name in ordered(series)}


def line(name: str, points: Iterable[tuple[Any, ...]]) -> list[Row]:
    """Return a series' rows: x, y and, where they are known, two bounds."""
    keys = ("x", "y", "low", "high")
    rows = [{"series": name_of(name), **dict(zip(keys, p, strict=False))} for p in points]
    return [row for row in rows if row["y"] is not None]


def require_charts() -> None:
    """Raise ConfigError unless the libraries that draw are installed."""
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--html: {error.name} is not installed, and it draws the figures. Run "
            f'pip install "litellm-benchrouter[report]", or use --json alone.'
        ) from error


def draw(chart: Chart, title: str) -> str:
    """Draw a chart as SVG that is as wide as the page lets it be."""
    import altair as alt

    names = {row["name"] for row in chart.rows} if chart.y is None else ()
    colors: dict[str, Any] = {"labelColor": "var(--muted)", "labelFontSize": 12}
    picture = (
        alt.layer(*(_names(chart) if chart.y is None else _lines(chart, chart.y)))
        .properties(width=_WIDTH if names else _WITH_AXIS, height=_STEP * len(names) or _HEIGHT)
        .configure(background="transparent", font="system-ui, sans-serif", padding=4, aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="var(--rule)",
            domain=False,
            ticks=False,
            titleFontSize=12,
            titleFontWeight="normal",
            titleColor="var(--muted)",
            titlePadding=10,  # the browser's font may be wider than the one that is measured
            labelPadding=6,
            **colors,
        )
        .configure_legend(
            orient="bottom",
            direction="vertical",
            title=None,
            labelLimit=_WIDTH,
            symbolStrokeWidth=2,
            symbolOpacity=1,
            **colors,
        )
    )
    file = io.StringIO()
    picture.save(file, format="svg")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", file.getvalue(), count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def _names(chart: Chart) -> list[alt.Chart]:
    """Return the layers of values beneath one another, each under its name."""
    import altair as alt

    reference = [] if chart.reference is None else [chart.reference]
    x = _channel(alt.X, chart.x, [*_values(chart, "x", "low", "high"), *reference])
    y = alt.Y("name:N", sort=None, axis=None)
    rows = _chart(chart.rows).encode(y=y)
    once = _chart({row["name"]: row for row in chart.rows}.values()).encode(y=y)
    color, shape, _ = _styles(chart)
    text: dict[str, Any] = {"dy": -13, "fontSize": 12, "baseline": "middle"}
    room = _NARROWER * (_WIDTH - _LETTER * max(len(row["text"]) for row in chart.rows))
    return [
        *_reference(chart, "x"),
        rows.mark_rule(strokeWidth=6, strokeCap="round", opacity=0.4).encode(
            x="low:Q", x2="high:Q", color=color
        ),
        rows.mark_point(filled=True, size=75, opacity=1).encode(x=x, color=color, shape=shape),
        once.mark_text(align="left", color="var(--ink)", fontWeight=600, limit=room, **text).encode(
            x=alt.value(0), text="name:N"
        ),
        once.mark_text(align="right", color="var(--muted)", **text).encode(
            x=alt.value(_WIDTH), text="text:N"
        ),
    ]


def _lines(chart: Chart, y_axis: Axis) -> list[alt.Chart]:
    """Return the layers of lines over two axes."""
    import altair as alt

    spots = [*chart.dots, *((px, py) for px, py, _ in chart.letters)]
    x = _channel(alt.X, chart.x, [*_values(chart, "x"), *(px for px, _ in spots)])
    heights = [*_values(chart, "y", "low", "high"), *(py for _, py in spots)]
    y = _channel(alt.Y, y_axis, heights)
    color, shape, dash = _styles(chart)
    rows = _chart(chart.rows).encode(x=x)
    layers = _reference(chart, "y")
    if any(row.get("low") is not None for row in chart.rows):
        layers.append(rows.mark_area(opacity=0.16).encode(y="low:Q", y2="high:Q", color=color))
    if chart.diagonal:
        ends = _chart({"x": v, "y": v} for v in (0.0, 1.0)).encode(x=x, y=y)
        layers.append(ends.mark_line(color="var(--ink)", strokeDash=[4, 3], strokeWidth=1.3))
    if chart.dots:
        dots = _chart({"x": px, "y": py} for px, py in chart.dots).encode(x=x, y=y)
        size, square = (16, "circle") if chart.points else (45, "square")
        layers.append(dots.mark_point(filled=True, size=size, shape=square, color="var(--model)"))
    layers.append(rows.mark_line(strokeWidth=2).encode(y=y, color=color, strokeDash=dash))
    if chart.points:
        points = rows.mark_point(filled=True, size=45, opacity=1)
        layers.append(points.encode(y=y, color=color, shape=shape))
    if chart.letters:
        letters = _chart({"x": px, "y": py, "text": text} for px, py, text in chart.letters)
        letters = letters.encode(x=x, y=y)
        square = letters.mark_point(filled=True, size=210, shape="square", opacity=1)
        text = letters.mark_text(color="var(--surface)", fontSize=11, fontWeight="bold")
        layers += [square.encode(color=alt.value("var(--model)")), text.encode(text="text:N")]
    return layers


def _reference(chart: Chart, axis: str) -> list[alt.Chart]:
    if chart.reference is None:
        return []
    rule = _chart([{axis: chart.reference}]).mark_rule(
        strokeDash=[4, 3], strokeWidth=1.3, color="var(--ink)"
    )
    return [rule.encode(**{axis: f"{axis}:Q"})]


def _chart(rows: Iterable[Any]) -> alt.Chart:
    import altair as alt

    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def _values(chart: Chart, *keys: str) -> list[float]:
    return [row[key] for row in chart.rows for key in keys if row.get(key) is not None]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten, with values between them where few of ten fit."""
    decades = math.log10(high / low)
    factors = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [mark for power in powers for f in factors if low <= (mark := f * 10.0**power) <= high]


def _channel(kind: Any, axis: Axis, values: list[float]) -> Any:
    """Return the channel of an axis that holds all values with some room."""
    import altair as alt

    name = "x:Q" if kind is alt.X else "y:Q"
    low, high = axis.domain or (min(values, default=0.0), max(values, default=1.0))
    marks = axis.ticks or (_powers(low, high) if axis.log else ())
    ticks: Any = {"values": list(marks)} if marks else {"tickCount": 5}
    labels: Any = {"labelExpr": _LABELS[axis.unit], "labelOverlap": True}
    shown = alt.Axis(title=axis.title, **labels, **ticks)
    if axis.log:
        scale = alt.Scale(type="log", domain=[low / 1.15, high * 1.15], nice=False)
    else:
        room = 0.06 * (high - low) or 0.05
        scale = alt.Scale(domain=[low - room, high + room], nice=False, zero=False)
    return kind(name, scale=scale, axis=shown)


def _styles(chart: Chart) -> tuple[alt.Color, alt.Shape, alt.StrokeDash]:
    """Return how series differ: in colour, and in shape or dashes for who sees no colour."""
    import altair as alt

    names, styles = list(chart.series), [_STYLES[style] for style in chart.series.values()]
    legend = alt.Legend() if len(names) > 1 else None
    colors, shapes, dashes = zip(*styles, strict=True)
    options: list[Any] = [
        {"scale": alt.Scale(domain=names, range=list(values)), "legend": legend}
        for values in ([f"var({color})" for color in colors], shapes, dashes)
    ]
    return (
        alt.Color("series:N", **options[0]),
        alt.Shape("series:N", **options[1]),
        alt.StrokeDash("series:N", **options[2]),
    )
