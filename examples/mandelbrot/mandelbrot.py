"""One task's share of a picture of the Mandelbrot set, in nothing but the standard library.

Task i of n computes the rows i, i + n, i + 2n, … (every task meets easy and hard rows alike, so all take
about as long) and writes them, top to bottom, as ``band.ppm``: a binary PPM (P6), which picture viewers open.
``splice.py`` puts the bands together. Run by hand, without a task around it, it computes the whole picture::

    python mandelbrot.py

A pixel is the same on every machine: the arithmetic is + - * / and comparison of IEEE doubles, each rounded
once, and ``frexp``, which is exact. The C library's logarithm differs between systems, so we have our own.
"""

import argparse
import os
from math import frexp
from pathlib import Path

WIDTH, HEIGHT = 960, 640
CENTRE_X, CENTRE_Y = -0.7, 0.0
SPAN = 3.45  # width of the view in the complex plane
MAX_ITERATIONS = 500  # a point still near after so many steps counts as inside
ESCAPE = 256.0  # |z|² beyond which a point has left: far out, so that the colours run smoothly

COLOURS = (  # around a circle: night, deep blue, sky, ice, gold, rust
    (0, 2, 12),
    (0, 7, 100),
    (32, 107, 203),
    (237, 255, 255),
    (255, 170, 0),
    (120, 30, 10),
)
SHADES = 4096  # steps around the circle
HALF_WAY = 30.0  # iterations after which half of TURNS is behind us
TURNS = 2.0  # rounds of the circle from the first iteration to the last


def circle_of_shades() -> list[tuple[int, ...]]:
    """Blend the colours into SHADES red-green-blue triples that close to a circle."""
    shades = []
    for step in range(SHADES):
        at, rest = divmod(step * len(COLOURS), SHADES)
        part = rest / SHADES
        part *= part * (3 - 2 * part)  # ease in and out: no edge where two blends meet
        before, after = COLOURS[at], COLOURS[(at + 1) % len(COLOURS)]
        shades.append(tuple(int(a + (b - a) * part) for a, b in zip(before, after, strict=True)))
    return shades


def log2(x: float) -> float:
    """Logarithm to base 2 of x > 0, to 1e-8, the same on every machine (the series of artanh)."""
    mantissa, exponent = frexp(x)
    s = (mantissa - 0.7071067811865476) / (mantissa + 0.7071067811865476)
    q = s * s
    series = 2.8853900817779268 + q * (0.9617966939259756 + q * (0.5770780163555854 + q * 0.4121985831111324))
    return exponent - 0.5 + s * series


def iterations(x: float, y: float) -> float | None:
    """Count the steps of z² + c from 0 until c = x + iy escapes, smoothly; None for a point inside."""
    y2 = y * y
    left = x - 0.25
    q = left * left + y2
    if q * (q + left) < 0.25 * y2 or (x + 1) * (x + 1) + y2 < 0.0625:
        return None  # in the great heart or the disc beside it
    a = b = a2 = b2 = 0.0
    for step in range(MAX_ITERATIONS):
        b = (a + a) * b + y
        a = a2 - b2 + x
        a2 = a * a
        b2 = b * b
        if a2 + b2 > ESCAPE:
            return step + 4.0 - log2(log2(a2 + b2))
    return None


def band(index: int, count: int, width: int, height: int) -> bytes:
    """Compute the rows index, index + count, … of the picture as the bytes of a PPM.

    Each pixel is the mean of four points, so that edges are smooth.
    """
    shades = circle_of_shades()
    scale = SPAN / width
    columns = [CENTRE_X + scale * (half / 2 - width / 2 + 0.25) for half in range(2 * width)]
    pixels = bytearray()
    rows = range(index, height, count)
    for row in rows:
        lines = [CENTRE_Y - scale * (row - height / 2 + offset) for offset in (0.25, 0.75)]
        for column in range(0, 2 * width, 2):
            red = green = blue = 0
            for x in columns[column : column + 2]:
                for y in lines:
                    steps = iterations(x, y)
                    if steps is not None:
                        r, g, b = shades[int(steps / (steps + HALF_WAY) * TURNS * SHADES) % SHADES]
                        red += r
                        green += g
                        blue += b
            pixels += bytes((red >> 2, green >> 2, blue >> 2))
    return b"P6\n# band %d of %d\n%d %d\n255\n" % (index, count, width, len(rows)) + pixels


def main() -> None:
    """Compute the band that the environment of a task asks for, and write it into the output folder."""
    parser = argparse.ArgumentParser(description="Compute one band of a picture of the Mandelbrot set.")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--height", type=int, default=HEIGHT)
    size = parser.parse_args()
    index = int(os.environ.get("RJS_TASK_INDEX", "0"))
    count = int(os.environ.get("RJS_TASK_COUNT", "1"))
    output = Path(os.environ.get("RJS_OUTPUT", "out"))
    output.mkdir(exist_ok=True)
    (output / "band.ppm").write_bytes(band(index, count, size.width, size.height))


if __name__ == "__main__":
    main()
