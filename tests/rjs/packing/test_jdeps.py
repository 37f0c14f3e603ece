"""What becomes of a ``jdeps`` that fails, or passes classes over: a refusal, never a bundle that lacks classes.

The real tool is driven by ``tests/integration/test_pack_java.py``.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rjs.errors import RefusedError
from rjs.packing import PackingError
from rjs.packing.java import gather_java
from rjs.packing.jdeps import class_graph

SAID = """\
classes -> java.base
   app.Main                                           -> app.Main$1                                         classes
   app.Main                                           -> java.lang.Object                                   java.base
   app.AVeryLongNameThatIsWiderThanTheColumnItStandsInAndGoesOn -> gone.Away                                not found
"""


def tool(folder: Path, script: str) -> Path:
    path = folder / "jdeps"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_what_it_says_is_a_graph(tmp_path: Path) -> None:
    """Whatever the width of its columns; what it did not find is missing."""
    (tmp_path / "said").write_text(SAID)
    graph = class_graph(tool(tmp_path, f"cat {tmp_path}/said"), [])
    assert graph.uses["app.Main"] == {"app.Main$1", "java.lang.Object"}
    assert graph.missing == {"gone.Away"}


@pytest.mark.parametrize(
    "script", ["echo 'Error: no such option'; exit 2", "echo 'Exception in thread main: too new' >&2"]
)
def test_its_failure_is_a_refusal_with_its_words(tmp_path: Path, script: str) -> None:
    """It ends with 0 after some of its own faults, too."""
    with pytest.raises(RefusedError, match=r"no such option|too new") as refused:
        class_graph(tool(tmp_path, script), [])
    assert refused.value.code == "jdeps"


def test_a_class_that_it_passes_over_is_refused(tmp_path: Path) -> None:
    """An old tool says nothing of classes for a newer Java; what they use would be missing at run time."""
    name = b"Main"
    pool = b"\x01" + struct.pack(">H", len(name)) + name + struct.pack(">BH", 7, 1)
    (tmp_path / "classes").mkdir()
    main = struct.pack(">IHHH", 0xCAFEBABE, 0, 99, 3) + pool + struct.pack(">HH", 0x21, 2)
    (tmp_path / "classes/Main.class").write_bytes(main)
    with pytest.raises(PackingError, match="use the one of a newer JDK"):
        gather_java(tmp_path / "classes", jdeps=tool(tmp_path, "true"), main_class="Main")


def test_no_name_of_a_class_reaches_the_tool(tmp_path: Path) -> None:
    """It is given numbers in a private folder, which is gone afterwards."""
    report = tmp_path / "report"
    class_graph(
        tool(tmp_path, f'for last; do :; done; ls "$last" > {report}; echo "$last" >> {report}'), [b"a", b"b"]
    )
    one, two, folder = report.read_text().split()
    assert (one, two) == ("0.class", "1.class")
    assert not Path(folder).exists()
