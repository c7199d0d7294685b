"""Small drawings of a page that need no code to run: SVG in shares of its own width, so that letters keep their size.

Every drawing has a text alternative; the numbers behind it stand in a table beside it.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Scale", "around", "drawing", "figure", "guides", "ticks"]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(NamedTuple):
    """The lowest and the highest value of an axis; ``high > low``."""

    low: float
    high: float

    def across(self, value: float) -> str:
        """Return where a value lies from left to right."""
        return f"{100.0 * self._share(value):.2f}%"

    def up(self, value: float) -> str:
        """Return where a value lies from top to bottom, the highest on top."""
        return f"{100.0 * (1.0 - self._share(value)):.2f}%"

    def wide(self, first: float, last: float) -> str:
        """Return the width from one value to another."""
        return f"{100.0 * abs(last - first) / (self.high - self.low):.2f}%"

    def _share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def around(values: Iterable[float], room: float = 0.04) -> Scale:
    """Return a scale that holds all values with some ``room`` (a share of their range) on both sides.

    Examples
    --------
    >>> around([0.0, 10.0], room=0.1)
    Scale(low=-1.0, high=11.0)
    """
    held = list(values)
    low, high = min(held, default=0.0), max(held, default=0.0)
    size = (high - low) * room if high > low else abs(high) * 0.1 or 1.0
    return Scale(low - size, high + size)


def ticks(scale: Scale, most: int) -> list[float]:
    """Return at most about ``most`` round values of a scale.

    Examples
    --------
    >>> ticks(Scale(-0.1, 1.1), 3)
    [0.0, 0.5, 1.0]
    """
    raw = (scale.high - scale.low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in _STEPS if step * power >= raw * 0.999)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def guides(scale: Scale, marks: Iterable[tuple[float, str]], *, across: bool, label: bool = True) -> str:
    """Return thin lines at some values of an axis, with what is written beside them."""
    parts = []
    for value, text in marks:
        if across:
            at = scale.across(value)
            parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="0" y2="100%"/>')
            place = f'x="{at}" y="100%" dy="17" text-anchor="middle"'
        else:
            at = scale.up(value)
            parts.append(f'<line class="grid" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
            place = f'x="0" dx="-7" y="{at}" dy="4" text-anchor="end"'
        if label:
            parts.append(f'<text class="tick" {place}>{escape(text)}</text>')
    return "".join(parts)


def drawing(inside: str, *, alt: str, height: int, left: int = 0, bottom: int = 26) -> str:
    """Return a drawing as wide as its place.

    Parameters
    ----------
    inside : str
        SVG with horizontal places in per cent.
    alt : str
        What it shows, in words: plain text.
    height, left, bottom : int
        Pixels: of what is drawn, and of the room for what is written left of it and below it.
    """
    return (
        f'<svg class="drawing" role="img" aria-label="{escape(alt)}" height="{height}" '
        f'style="--left:{left}px;--bottom:{bottom}px">{inside}</svg>'
    )


def figure(title: str, picture: str, *, keys: Sequence[tuple[str, str]] = (), table: str = "", note: str = "") -> str:
    """Return a picture under its title, with the numbers behind it to unfold.

    Parameters
    ----------
    title, note : str
        Plain text.
    picture, table : str
        Markup.
    keys : Sequence[tuple[str, str]]
        Style and meaning (plain text) of what is drawn.
    """
    shown = "".join(f'<span class="key {style}">{escape(name)}</span>' for style, name in keys)
    after = f'<p class="note">{escape(note)}</p>' if note else ""
    numbers = f"<details><summary>{escape(title)}: the numbers</summary>{table}</details>" if table else ""
    return f"<figure><figcaption><b>{escape(title)}</b>{shown}</figcaption>{picture}{after}{numbers}</figure>\n"
