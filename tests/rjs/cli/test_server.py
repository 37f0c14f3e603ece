"""What the commands of the servers share."""

from __future__ import annotations

from rjs.cli.server import offer_words
from rjs.limits import GIB
from rjs.needs import Offer, Platform
from rjs.status import offer_facts


def test_an_offer_is_one_short_line() -> None:
    """Platform, cores, memory and disk, and the runtimes that are there."""
    full = Offer(
        memory=8 * GIB,
        cores=4,
        disk=100 * GIB,
        platform=Platform("linux", "x86_64"),
        python="3.11.7",
        java="17",
    )
    assert offer_words(offer_facts(full)) == (
        "linux-x86_64, 4 cores, 8.0 GiB memory, 100.0 GiB disk, python 3.11.7, java 17"
    )
    assert offer_words(offer_facts(Offer(cores=1))) == "any-any, 1 core, 0.0 GiB memory, 0.0 GiB disk"
