"""A broken-into LUS that has a task started while the owner trusts its signer, and withholds the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from lone_desktop import Desktop
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from cs.trust import TrustStore
from rjs.descriptor.model import Permissions
from rjs.errors import RefusedError
from rjs.limits import MAX_ARCHIVE_BYTES


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    found = Desktop(tmp_path)
    yield found
    found.close()


def test_an_honest_lus_has_its_task_prepared(desktop: Desktop) -> None:
    """The control: with trust unchanged the bundle is unpacked."""
    desktop.begin()
    desktop.lus.serve()
    assert not isinstance(desktop.outcome[0], Failure), desktop.outcome
    assert desktop.place.job.exists()


def test_trust_withdrawn_while_the_bundle_is_withheld(desktop: Desktop) -> None:
    """What counts is the owner's trust when the bundle is there, not when the LUS asked; nothing is unpacked."""
    desktop.begin()
    desktop.trusted = TrustStore()
    desktop.lus.serve()
    assert desktop.refusal() == "not-trusted"
    assert not desktop.place.path.exists()


def test_trust_withdrawn_after_unpacking(desktop: Desktop) -> None:
    """The last look before the process starts sees it too."""
    desktop.begin()
    desktop.lus.serve()
    desktop.trusted = TrustStore()
    with pytest.raises(RefusedError, match="not-trusted"):
        desktop.preparation.check_may_run(desktop.outcome[0].bundle, Permissions())


def test_a_brief_that_lies_about_the_size(desktop: Desktop) -> None:
    """A size beyond what any bundle may have is refused before a byte is asked for."""
    desktop.begin(msgspec.structs.replace(desktop.brief, size=MAX_ARCHIVE_BYTES + 1))
    assert desktop.refusal() == "too-large"
    assert not desktop.lus.asked


def test_a_stopped_task_fetches_no_further(desktop: Desktop, tmp_path: Path) -> None:
    """When the attempt is not wanted any more its fetch ends, and leaves no part of a file."""
    desktop.begin()
    desktop.bundles.stop_fetching()
    assert isinstance(desktop.outcome[0], Failure)
    assert desktop.outcome[0].check(CancelledError)
    assert not list(tmp_path.glob(".*.part"))


def test_what_a_killed_server_had_fetched_is_swept(desktop: Desktop, tmp_path: Path) -> None:
    """A part of a bundle does not outlive the next start."""
    (tmp_path / f".{desktop.brief.job}.jar.part").write_bytes(b"x")
    desktop.bundles.sweep()
    assert not list(tmp_path.glob(".*.part"))
