"""Charts as inline SVG: axes, lines, areas, bars and percentiles.

Flow:  page -> [charts] -> text of one <svg> element
Pure:  numbers in, text out. Colours are CSS variables of the page (--bid, --ask, --line, ...),
       so that one drawing serves a light and a dark page. Colour never carries a meaning alone:
       each series has a label at its end, another stroke, or a side of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 26, 34
MARKS = ("p50", "p90", "p99", "p99.9", "max")
ROW = 30
PERCENTILES_WIDTH = 1080

Point = tuple[float, float | None]
"""Where on the x axis, and the value there; None: no value, the line is interrupted."""


class Line(NamedTuple):
    """One series. colour: a CSS variable. dashes: of the stroke, "" for a solid one."""

    label: str
    points: Sequence[Point]
    colour: str
    dashes: str = ""
    width: float = 1.8


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from low to high, on the way from one coordinate to another."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose low to high."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / count
    power: float = 10.0 ** floor(log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def number_text(value: float) -> str:
    """Short, for an axis: 1,200 or 0.05; a real minus sign."""
    text = f"{value:,.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "\N{MINUS SIGN}")


class Plot:
    """A chart under construction: a title, both axes, and what is drawn between them.

    seconds: how long the x axis is; it begins at 0. y: the ticks of the other one.
    """

    def __init__(
        self, title: str, seconds: float, y: Sequence[float],
        *, y_text: Callable[[float], str] = number_text,
        width: int = WIDTH,
    ) -> None:  # fmt: skip
        self.title = title
        self._width = width
        self.x = Scale(0, seconds, LEFT, width - RIGHT)
        self.y = Scale(y[0], y[-1], HEIGHT - BOTTOM, TOP)
        self._parts = [f'<text class="title" x="0" y="12">{escape(title)}</text>']
        for value in y:
            at = self.y(value)
            self._parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{at}" y2="{at}"/>'
                f'<text class="tick" x="{LEFT - 6}" y="{at + 3.5}" text-anchor="end">'
                f"{escape(y_text(value))}</text>"
            )
        bottom = HEIGHT - BOTTOM
        for value in nice_ticks(0, seconds, 5):
            if value > seconds * 1.001:  # the axis ends where the run did
                break
            self._parts.append(
                f'<text class="tick" x="{self.x(value)}" y="{bottom + 15}" text-anchor="middle">'
                f"{escape(number_text(value))}</text>"
            )
        self._parts.append(
            f'<text class="tick" x="{(LEFT + width - RIGHT) / 2}" y="{bottom + 29}" '
            f'text-anchor="middle">seconds</text>'
        )

    def line(self, line: Line) -> None:
        """A stroke through the points, interrupted where there is no value."""
        path, pen = "", "M"
        for at, value in line.points:
            if value is None:
                pen = "M"
                continue
            path += f"{pen}{self.x(at)} {self.y(value)}"
            pen = "L"
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        self._parts.append(
            f'<path class="line" d="{path}" stroke="var({line.colour})" '
            f'stroke-width="{line.width}"{dashes}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], colour: str, base: float = 0.0) -> None:
        """The surface between the points and a base line; a value holds until the next."""
        if not points:
            return
        floor_y, path = self.y(base), f"M{self.x(points[0][0])} {self.y(base)}"
        for at, value in points:
            path += f"H{self.x(at)}V{self.y(value)}"
        path += f"V{floor_y}Z"
        self._parts.append(f'<path class="area" d="{path}" fill="var({colour})"/>')

    def bars(self, bins: Iterable[tuple[float, float, float]], colour: str) -> None:
        """From, to, how much."""
        zero = self.y(0)
        for start, end, value in bins:
            if value:
                left, top = self.x(start) + 0.3, self.y(value)
                wide = max(0.5, self.x(end) - left - 0.3)
                self._parts.append(
                    f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" '
                    f'height="{zero - top:.1f}" fill="var({colour})"/>'
                )

    def label(self, at: float, value: float, text: str, *, anchor: str, above: bool) -> None:
        """A word in the plot, at a point of it."""
        y = self.y(value) + (-5 if above else 13)
        self._parts.append(
            f'<text class="label" x="{self.x(at)}" y="{y}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def rule(self, value: float) -> None:
        """A stronger line, at zero."""
        at = self.y(value)
        self._parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{self._width - RIGHT}" y1="{at}" y2="{at}"/>'
        )

    def svg(self, told: str) -> str:
        """The element. told: what a reader who does not see it should know."""
        return svg(self._width, HEIGHT, f"{self.title}. {told}", self._parts)


def svg(width: int, height: int, told: str, parts: Iterable[str], kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(told)}">' + "".join(parts) + "</svg>"
    )


# --- percentiles ---


def percentiles(rows: Sequence[tuple[str, Sequence[float | None]]], told: str) -> str:
    """A row for each hop, with a mark for each of MARKS, on an axis of powers of ten.

    rows: a name, and the values in seconds; None: never measured.
    """
    values = [value for _, found in rows for value in found if value]
    low = floor(log10(min(values, default=1e-6)) + 1e-9)
    high = max(low + 1, ceil(log10(max(values, default=1.0)) - 1e-9))
    width, left, top = PERCENTILES_WIDTH, 74, 34
    x = Scale(low, high, left, width - 24)
    bottom = top + ROW * len(rows)
    parts = [_legend(left)]
    for power in range(low, high + 1):
        at = x(power)
        parts.append(
            f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
            f'<text class="tick" x="{at}" y="{bottom + 16}" text-anchor="middle">'
            f"{escape(duration_text(10.0**power))}</text>"
        )
    for n, (name, found) in enumerate(rows):
        y = top + ROW * n + ROW / 2
        parts.append(
            f'<text class="label" x="{left - 12}" y="{y + 4}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
        marks = [(kind, x(log10(value))) for kind, value in zip(MARKS, found, strict=True) if value]
        if marks:
            parts.append(
                f'<line class="span" x1="{marks[0][1]}" x2="{marks[-1][1]}" y1="{y}" y2="{y}"/>'
            )
        parts += [_mark(kind, at, y) for kind, at in marks]
    return svg(width, round(bottom + 24), told, parts, "wide")


def _legend(left: float) -> str:
    return "".join(
        _mark(kind, left + 6 + 74 * n, 12)
        + f'<text class="tick" x="{left + 16 + 74 * n}" y="16">{kind}</text>'
        for n, kind in enumerate(MARKS)
    )


def _mark(kind: str, x: float, y: float) -> str:
    """Each percentile has a shape of its own."""
    shapes = {
        "p50": f'<circle cx="{x}" cy="{y}" r="5"/>',
        "p90": f'<rect x="{x - 4.5}" y="{y - 4.5}" width="9" height="9"/>',
        "p99": f'<path d="M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z"/>',
        "p99.9": f'<path d="M{x} {y - 6}L{x + 6} {y + 5}L{x - 6} {y + 5}Z"/>',
        "max": f'<rect x="{x - 1.2}" y="{y - 8}" width="2.4" height="16"/>',
    }
    return f'<g class="mark">{shapes[kind]}</g>'


def duration_text(seconds: float) -> str:
    """One of the powers of ten of such an axis."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.999:
            return f"{round(seconds / size):,} {unit}"
    return f"{round(seconds / 1e-9):,} ns"


# --- a bar in a row of a table ---


def gain_bar(value: float, largest: float) -> str:
    """To the right a gain, to the left a loss."""
    half, height = 44, 12
    length = 0.0 if largest <= 0 else round(abs(value) / largest * (half - 2), 1)
    left = half if value >= 0 else half - length
    colour = "--gain" if value >= 0 else "--loss"
    return (
        f'<svg class="bar" viewBox="0 0 {2 * half} {height}" aria-hidden="true">'
        f'<rect x="{left}" y="2" width="{length}" height="8" fill="var({colour})"/>'
        f'<line class="axis" x1="{half}" x2="{half}" y1="0" y2="{height}"/></svg>'
    )
