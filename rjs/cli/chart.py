"""A chart of one curve, drawn with Pillow: axes from nought, ticks at round numbers, labels, a title.

For the few pictures that commands draw. It knows nothing of what it shows, and refuses only to draw nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 110, 40, 70, 80
FINE = 3
"""Lines are drawn so many times as large and made small: smooth without a library for that."""
INK, PALE, CURVE, PAPER = (51, 51, 51), (225, 225, 225), (31, 91, 153), (255, 255, 255)

Point = tuple[float, float]


def line_chart(title: str, across: str, up: str, points: Sequence[Point]) -> Image.Image:
    """The points, joined in the order of x. Both numbers of each are at least 0, and one of each axis is above."""
    assert points, "a chart shows something"
    ordered = sorted(points)
    x_ticks, y_ticks = ticks(ordered[-1][0]), ticks(max(y for _, y in ordered))
    place = _Place(x_ticks[-1], y_ticks[-1])
    image = _lines(place, x_ticks, y_ticks, ordered).reduce(FINE)
    _words(image, place, x_ticks, y_ticks, (title, across, up))
    return image


def ticks(most: float) -> list[float]:
    """From 0 in steps of 1, 2 or 5 times a power of ten to at least ``most``, which is above 0: four to ten steps."""
    rough = most / 8
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


class _Place:
    """Where a pair of numbers is in the picture, in pixels."""

    def __init__(self, x_most: float, y_most: float) -> None:
        self._x, self._y = (WIDTH - LEFT - RIGHT) / x_most, (HEIGHT - TOP - BOTTOM) / y_most

    def of(self, x: float, y: float) -> Point:
        return LEFT + self._x * x, HEIGHT - BOTTOM - self._y * y


def _lines(place: _Place, x_ticks: list[float], y_ticks: list[float], points: Sequence[Point]) -> Image.Image:
    image = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)

    def line(ends: Sequence[Point], colour: tuple[int, int, int], width: int) -> None:
        draw.line([(FINE * x, FINE * y) for x, y in ends], colour, FINE * width, joint="curve")

    for x in x_ticks:
        line([place.of(x, 0), place.of(x, y_ticks[-1])], PALE, 1)
    for y in y_ticks:
        line([place.of(0, y), place.of(x_ticks[-1], y)], PALE, 1)
    line([place.of(0, y_ticks[-1]), place.of(0, 0), place.of(x_ticks[-1], 0)], INK, 2)
    curve = [place.of(*point) for point in points]
    line(curve, CURVE, 3)
    for x, y in curve:
        draw.ellipse([FINE * (x - 5), FINE * (y - 5), FINE * (x + 5), FINE * (y + 5)], CURVE)
    return image


def _words(
    image: Image.Image, place: _Place, x_ticks: list[float], y_ticks: list[float], words: tuple[str, str, str]
) -> None:
    title, across, up = words
    draw, small, large = ImageDraw.Draw(image), ImageFont.load_default(16), ImageFont.load_default(22)
    for (x, y), text in _marks(place, x_ticks, along=True):
        draw.text((x, y + 10), text, INK, small, anchor="mt")
    for (x, y), text in _marks(place, y_ticks, along=False):
        draw.text((x - 12, y), text, INK, small, anchor="rm")
    draw.text((LEFT, TOP // 2), title, INK, large, anchor="lm")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 22), across, INK, small, anchor="mm")
    draw.text((LEFT - 12, TOP - 26), up, INK, small, anchor="rm")


def _marks(place: _Place, values: list[float], *, along: bool) -> Iterator[tuple[Point, str]]:
    for value in values:
        yield place.of(value, 0) if along else place.of(0, value), f"{value:,.10g}"
