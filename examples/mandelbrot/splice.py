"""Put the bands of ``mandelbrot.py`` together into one picture.

    python splice.py -o mandelbrot.png 0/out/band.ppm 1/out/band.ppm 2/out/band.ppm …

The bands stand in the order of their tasks: row r of the picture is row r // n of band r % n. A band came
from another machine, so nothing in it is taken on trust: it is a P6 of the stated form, or it is refused.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

HEADER = re.compile(rb"P6\n# band ([0-9]{1,7}) of ([0-9]{1,7})\n([0-9]{1,5}) ([0-9]{1,5})\n255\n")


def rows_of(band: bytes, index: int, count: int) -> list[bytes]:
    """Cut band ``index`` of ``count`` into its rows. Raises ValueError where it is not that task's PPM."""
    header = HEADER.match(band)
    if header is None or (int(header[1]), int(header[2])) != (index, count):
        raise ValueError(f"this is not band {index} of {count} as mandelbrot.py writes it")
    stride, pixels = 3 * int(header[3]), band[header.end() :]
    if stride == 0 or len(pixels) != stride * int(header[4]):
        raise ValueError(f"band {index} does not have as many pixels as its header says")
    return [pixels[at : at + stride] for at in range(0, len(pixels), stride)]


def splice(bands: Sequence[bytes]) -> Image.Image:
    """Give the picture (an RGB ``PIL.Image``) of all bands in the order of their tasks.

    Raises ValueError where they are not the bands of one picture.
    """
    parts = [rows_of(band, index, len(bands)) for index, band in enumerate(bands)]
    height = sum(len(rows) for rows in parts)
    strides = {len(row) for rows in parts for row in rows}
    if len(strides) != 1 or any(
        len(rows) != len(range(i, height, len(parts))) for i, rows in enumerate(parts)
    ):
        raise ValueError("these bands do not fit together")
    pixels = b"".join(parts[row % len(parts)][row // len(parts)] for row in range(height))
    return Image.frombytes("RGB", (strides.pop() // 3, height), pixels)


def main() -> None:
    """Splice the files named on the command line."""
    parser = argparse.ArgumentParser(description="Put bands together into one picture.")
    parser.add_argument("bands", nargs="+", type=Path, help="the bands, in the order of their tasks")
    parser.add_argument("-o", "--out", type=Path, default=Path("mandelbrot.png"))
    given = parser.parse_args()
    splice([path.read_bytes() for path in given.bands]).save(given.out)


if __name__ == "__main__":
    main()
