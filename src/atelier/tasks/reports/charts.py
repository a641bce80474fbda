"""Charts as inline SVG: they inherit the page's colours, need no script and print well."""

import math
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 300, 150  # of a curve, in the units of its view box
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 20
MOST_POINTS = 400  # a curve of 300 units needs no more


def curve(name: str, points: Sequence[Point]) -> str:
    """One training curve: the values as a thin line, their running mean over it.

    Args:
        name: what is plotted, shown to screen readers.
        points: (step, value) in order; values that are no numbers are left out.
    """
    finite = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    finite = finite[:: max(1, len(finite) // MOST_POINTS)]
    if len(finite) < 2:
        return ""
    steps, values = [p[0] for p in finite], [p[1] for p in finite]
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5

    def place(step: float, value: float) -> str:
        x = LEFT + (step - steps[0]) / max(steps[-1] - steps[0], 1e-9) * (WIDTH - LEFT - RIGHT)
        y = TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    mean, smooth = values[0], []
    for value in values:
        mean += 0.12 * (value - mean)
        smooth.append(mean)
    raw = " ".join(place(*point) for point in finite)
    line = " ".join(place(step, value) for step, value in zip(steps, smooth, strict=True))
    floor = HEIGHT - BOTTOM
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 4}" class="end">{number(high)}</text>'
        f'<text x="{LEFT - 6}" y="{floor}" class="end">{number(low)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{steps[0]:.0f}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" class="end">{steps[-1]:.0f} steps</text>'
        f'<polyline class="raw" points="{raw}"/><polyline class="line" points="{line}"/></svg>'
    )


def history(name: str, points: Sequence[tuple[str, float, bool]]) -> str:
    """A measure over the versions of a model: dots on a line, hollow for versions that were refused.

    Args:
        name: what is plotted, shown to screen readers.
        points: version, value (NaN where it was not measured) and whether it passed, in order.
    """
    known = [(index, *point) for index, point in enumerate(points) if math.isfinite(point[1])]
    if len(known) < 2:
        return ""
    values = [value for _, _, value, _ in known]
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5
    floor = HEIGHT - BOTTOM

    def place(index: int, value: float) -> tuple[float, float]:
        x = LEFT + 6 + index / (len(points) - 1) * (WIDTH - LEFT - RIGHT - 12)
        return x, TOP + (high - value) / (high - low) * (floor - TOP)

    places = [(*place(index, value), version, passed) for index, version, value, passed in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
    dots = "".join(
        f'<circle class="{"dot" if passed else "refused"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        for x, y, _, passed in places
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 4}" class="end">{number(high)}</text>'
        f'<text x="{LEFT - 6}" y="{floor}" class="end">{number(low)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{escape(places[0][2])}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" class="end">{escape(places[-1][2])}</text>'
        f'<polyline class="raw" points="{line}"/>{dots}</svg>'
    )


def ratio_bar(ratio: float, low: float | None, high: float | None, limit: float | None) -> str:
    """A ratio to the untouched photographs on a line from 0 to a little over 1, with its interval and its limit."""
    span = 1.25

    def x(value: float) -> float:
        return 2 + min(max(value, 0.0), span) / span * 196

    parts = [f'<path class="axis" d="M2 12H198M{x(0):.1f} 8V16M{x(1):.1f} 8V16"/>']
    if limit is not None:
        parts.append(f'<path class="limit" d="M{x(limit):.1f} 3V21"/>')
    if low is not None and high is not None:
        parts.append(f'<path class="interval" d="M{x(low):.1f} 12H{x(high):.1f}"/>')
    parts.append(f'<circle class="dot" cx="{x(ratio):.1f}" cy="12" r="4.5"/>')
    return f'<svg viewBox="0 0 200 24" class="ratio" role="img" aria-label="{number(ratio)}">{"".join(parts)}</svg>'


def number(value: object, digits: int = 3) -> str:
    """A number as a person reads it, a dash for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (value == int(value) and abs(value) >= 100):
        return f"{int(value):,}"
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.1e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 4)}f}".replace("-", "−")
