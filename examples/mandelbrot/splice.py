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

HEADER = re.compile(rb"P6\n([1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\n255\n")


def rows_of(band: bytes) -> tuple[int, list[memoryview]]:
    """Cut a band into its stride (bytes a row) and rows. Raises ValueError where it is no PPM of a task."""
    header = HEADER.match(band)
    if header is None:
        raise ValueError("a band does not begin like the PPM that mandelbrot.py writes")
    stride, height = 3 * int(header[1]), int(header[2])
    pixels = memoryview(band)[header.end() :]
    if len(pixels) != stride * height:
        raise ValueError(
            f"a band holds {len(pixels)} bytes of pixels where its header promises {stride * height}"
        )
    return stride, [pixels[at : at + stride] for at in range(0, len(pixels), stride)]


def splice(bands: Sequence[bytes]) -> Image.Image:
    """Give the picture (an RGB ``PIL.Image``) of all bands in the order of their tasks.

    Raises ValueError where they are not the bands of one picture.
    """
    parts = [rows_of(band) for band in bands]
    strides = {stride for stride, _ in parts}
    height = sum(len(rows) for _, rows in parts)
    expected = [len(range(index, height, len(parts))) for index in range(len(parts))]
    if len(strides) != 1 or [len(rows) for _, rows in parts] != expected:
        raise ValueError("these bands are not all bands of one picture, in the order of their tasks")
    pixels = b"".join(parts[row % len(parts)][1][row // len(parts)] for row in range(height))
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
