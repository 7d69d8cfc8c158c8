"""Charts drawn by Altair and vl-convert, the extra `report`, as SVG without scripts.

Colours are the page's CSS variables, so a chart follows the reader's light or dark theme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.views.figures import Axis, Chart

if TYPE_CHECKING:
    import altair as alt

_WIDTH = 330  # of the plotted area: a telephone shows it at its own size
_HEIGHT = 250
_STEP = 36  # between names beneath one another
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


def require_charts() -> None:
    """Check that the libraries that draw are installed.

    Raises
    ------
    ConfigError
        If they are not.
    """
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
        .properties(width=_WIDTH, height=_STEP * len(names) or _HEIGHT)
        .configure(background="transparent", font="system-ui, sans-serif", padding=4, aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="var(--rule)",
            domain=False,
            ticks=False,
            titleFontSize=12,
            titleFontWeight="normal",
            titleColor="var(--muted)",
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
    return [
        *_reference(chart, "x"),
        rows.mark_rule(strokeWidth=6, strokeCap="round", opacity=0.4).encode(
            x="low:Q", x2="high:Q", color=color
        ),
        rows.mark_point(filled=True, size=75, opacity=1).encode(x=x, color=color, shape=shape),
        once.mark_text(align="left", color="var(--ink)", fontWeight=600, limit=190, **text).encode(
            x=alt.value(0), text="name:N"
        ),
        once.mark_text(align="right", color="var(--muted)", limit=160, **text).encode(
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

    return alt.Chart(alt.Data(values=[dict(row) for row in rows]))


def _values(chart: Chart, *keys: str) -> list[float]:
    return [row[key] for row in chart.rows for key in keys if row.get(key) is not None]


def _channel(kind: Any, axis: Axis, values: list[float]) -> Any:
    """Return the channel of an axis that holds all values with some room."""
    import altair as alt

    name = "x:Q" if kind is alt.X else "y:Q"
    ticks = {"values": list(axis.ticks)} if axis.ticks else {"tickCount": 5}
    labels = {"labelExpr": _LABELS[axis.unit], "labelOverlap": True}
    shown = alt.Axis(title=axis.title, **labels, **ticks)
    low, high = axis.domain or (min(values, default=0.0), max(values, default=1.0))
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
    options = [
        {"scale": alt.Scale(domain=names, range=list(values)), "legend": legend}
        for values in ([f"var({color})" for color in colors], shapes, dashes)
    ]
    return (
        alt.Color("series:N", **options[0]),
        alt.Shape("series:N", **options[1]),
        alt.StrokeDash("series:N", **options[2]),
    )
