"""Wheels made on the fly, in a folder that requirements can be resolved from without any index."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    files: Mapping[str, bytes | str],
    *,
    tag: str = "py3-none-any",
    version: str = "1.0",
    requires: Sequence[str] = (),
    format_version: str = "1.0",
) -> Path:
    """Write the wheel of the distribution ``name`` with these files, as common builders do, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {each}\n" for each in requires]
    described = {
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": f"Wheel-Version: {format_version}\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in {**files, **described}.items():
            archive.writestr(member, content)
    return path
