"""Which BLAS this process has loaded, and which kernels it chose: that decides a machine's figure more than anything.

Asked of the libraries themselves, for what numpy was built with need not be what is there (Debian's numpy takes the
alternative of the day), and OpenBLAS chooses its kernels by the processor at run time. For processes with numpy only.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

MAPS = Path("/proc/self/maps")
NAMES = ("blas", "mkl_rt", "blis", "lapack", "atlas")
CONFIGS = tuple(f"{prefix}openblas_get_config{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", ""))
"""What OpenBLAS calls its description of itself: numpy's own builds prefix and suffix every name."""


def blas_in_use() -> str:
    """One line: each library with what it says of itself, or with what numpy was built with where none says more."""
    libraries = _loaded()
    said = [f"{path.name} ({config})" for path in libraries if (config := _config(path))]
    return "; ".join(said) or " ".join([*(path.name for path in libraries), _built_with()])


def _loaded(maps: Path = MAPS) -> list[Path]:
    """The BLAS libraries mapped into this process; numpy's own modules that have such a word in their names do not
    count, for they are the same whatever they call."""
    try:
        lines = maps.read_text(errors="replace").splitlines()
    except OSError:
        return []
    paths = {Path(fields[5]) for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return sorted(
        path for path in paths if path.name.startswith("lib") and any(each in path.name for each in NAMES)
    )


def _config(library: Path) -> str:
    """Version, build options and the kernels chosen, as OpenBLAS tells them; empty for any other."""
    loaded = ctypes.CDLL(str(library))
    for name in CONFIGS:
        tell = getattr(loaded, name, None)
        if tell is not None:
            tell.argtypes, tell.restype = (), ctypes.c_char_p
            said: bytes = tell() or b""
            return " ".join(said.decode("ascii", "replace").split())
    return ""


def _built_with() -> str:
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return "built with " + " ".join(str(built.get(key, "")) for key in ("name", "version"))
