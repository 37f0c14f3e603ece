"""A job tries to reach more than its owner's grant names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from lone_desktop import Desktop

from cs.trust import Allowed, Grant, NotGranted, TrustStore
from rjs.bundle.verify import Signer
from rjs.descriptor.model import Permissions
from rjs.errors import RefusedError
from rjs.ids import SpkiDigest

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ADA = SpkiDigest("a" * 64)
SIGNER = Signer(ADA, "CN=Ada", b"", (b"",), NOW)
STORE = TrustStore((Grant(ADA, "Ada", "signer", NOW, network=("data.example.org:443", "192.0.2.7:80")),))


@pytest.mark.parametrize(
    "asked",
    [
        "other.example.org:443",
        "example.org:443",
        "org:443",
        "data.example.or:443",
        "data.example.organic:443",
        "data.example.org.evil.net:443",
        "evil.data.example.org:443",
        "data.example.org:44",
        "data.example.org:4430",
        "data.example.org:80",
        "data.example.org",
        "data.example.org.:443",
        "data.example.org:443 ",
        "data.example.org:443@evil.net:443",
        "*:443",
        "*.example.org:443",
        "192.0.2.7:443",
        "192.0.2.70:80",
        "192.0.2.07:80",
        "3221225991:80",
        "[::ffff:192.0.2.7]:80",
        "",
    ],
)
def test_a_grant_for_one_place_gives_no_other(asked: str) -> None:
    """Not another host, a longer or shorter name, another port, nor another spelling that is no place."""
    assert isinstance(STORE.allows(SIGNER, Permissions(network=(asked,)), NOW), NotGranted)
    with_granted = Permissions(network=("data.example.org:443", asked))
    assert isinstance(STORE.allows(SIGNER, with_granted, NOW), NotGranted)
    assert isinstance(STORE.allows(SIGNER, Permissions(network=("data.example.org:443",)), NOW), Allowed)


ASKING = b"""name = "test"
runtime = "python"
entry = "main.py"
[permissions]
network = ["data.example.org:443"]
"""


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    """It trusts the signer of a job that asks for a place, and grants none."""
    found = Desktop(tmp_path, ASKING)
    yield found
    found.close()


def test_a_job_that_asks_for_more_leaves_nothing(desktop: Desktop) -> None:
    """Trust in the signer is not enough: the job is refused, and nothing of it is unpacked."""
    desktop.begin()
    desktop.lus.serve()
    assert desktop.refusal() == "permission-not-granted"
    assert not desktop.place.path.exists()


def test_a_place_taken_back_before_the_start(desktop: Desktop) -> None:
    """With the grant the job is prepared; when its place is taken back meanwhile, the last look sees it."""
    (trusted,) = desktop.trusted.grants
    desktop.trusted = TrustStore((attrs.evolve(trusted, network=("data.example.org:443",)),))
    desktop.begin()
    desktop.lus.serve()
    prepared = desktop.outcome[0]
    assert desktop.place.job.exists()
    desktop.trusted = TrustStore((trusted,))
    with pytest.raises(RefusedError, match="permission-not-granted"):
        desktop.preparation.check_may_run(prepared.bundle, prepared.descriptor.permissions)


def test_the_command_in_a_refusal_cannot_be_widened() -> None:
    """What a bundle asks for is one word of the command that the owner may paste."""
    asked = Permissions(network=("a.org:1; rm -rf ~", "$(reboot):1"))
    decision = STORE.allows(SIGNER, asked, NOW)
    assert isinstance(decision, NotGranted)
    assert "--network 'a.org:1; rm -rf ~'" in decision.remedy
    assert "--network '$(reboot):1'" in decision.remedy
