"""Charts as inline SVG: they inherit the page's colours, need no script and print well."""

import math
from collections.abc import Sequence

from markupsafe import Markup

Point = tuple[float, float]

WIDTH, HEIGHT = 300, 150  # of a curve, in the units of its view box
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 20
MOST_POINTS = 400  # a curve of 300 units needs no more


def curve(name: str, points: Sequence[Point]) -> Markup:
    """One training curve, of (step, value) in order: the finite values as a thin line, their running mean over it."""
    finite = [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    finite = finite[:: max(1, len(finite) // MOST_POINTS)]
    if len(finite) < 2:
        return Markup()
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
    lines = Markup('<polyline class="raw" points="{}"/><polyline class="line" points="{}"/>').format(raw, line)
    return _axes(name, (low, high), (f"{steps[0]:.0f}", f"{steps[-1]:.0f} steps"), lines)


def history(name: str, points: Sequence[tuple[str, float, bool]]) -> Markup:
    """A metric over (version, value or NaN, passed) in order: dots on a line, hollow for versions that were refused."""
    known = [(index, *point) for index, point in enumerate(points) if math.isfinite(point[1])]
    if len(known) < 2:
        return Markup()
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
    dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"/>')
    dots = [dot.format("dot" if passed else "refused", x, y) for x, y, _, passed in places]
    marks = Markup('<polyline class="raw" points="{}"/>{}').format(line, Markup().join(dots))
    return _axes(name, (low, high), (places[0][2], places[-1][2]), marks)


def ratio_bar(ratio: float, low: float | None, high: float | None, limit: float | None) -> Markup:
    """A ratio to the untouched photographs on a line from 0 to a little over 1, with its interval and its limit."""
    span = 1.25

    def x(value: float) -> float:
        return 2 + min(max(value, 0.0), span) / span * 196

    path = Markup('<path class="{}" d="{}"/>')
    parts = [path.format("axis", f"M2 12H198M{x(0):.1f} 8V16M{x(1):.1f} 8V16")]
    if limit is not None:
        parts.append(path.format("limit", f"M{x(limit):.1f} 3V21"))
    if low is not None and high is not None:
        parts.append(path.format("interval", f"M{x(low):.1f} 12H{x(high):.1f}"))
    parts.append(Markup('<circle class="dot" cx="{:.1f}" cy="12" r="4.5"/>').format(x(ratio)))
    svg = Markup('<svg viewBox="0 0 200 24" class="ratio" role="img" aria-label="{}">{}</svg>')
    return svg.format(number(ratio), Markup().join(parts))


def _axes(name: str, values: tuple[float, float], ends: tuple[str, str], lines: Markup) -> Markup:
    """A chart: lines, and the axes with the least and the greatest value, the first and the last place."""
    svg = Markup(
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">'
        '<path class="axis" d="M{left} {top}V{floor}H{right}"/>'
        '<text x="{margin}" y="{cap}" class="end">{high}</text><text x="{margin}" y="{floor}" class="end">{low}</text>'
        '<text x="{left}" y="{foot}">{first}</text><text x="{right}" y="{foot}" class="end">{last}</text>{lines}</svg>'
    )
    low, high = map(number, values)
    first, last = ends
    box = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "floor": HEIGHT - BOTTOM}
    texts = {"margin": LEFT - 6, "cap": TOP + 4, "foot": HEIGHT - 6}
    return svg.format(name=name, low=low, high=high, first=first, last=last, lines=lines, **box, **texts)


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
