"""Hostile jobs that leave links and worse for outputs: the server collects nothing that is not the job's."""

from __future__ import annotations

import pytest
from escape_account import Account
from escape_targets import secrets
from escape_yard import Outcome, Way, Yard, outcome

from cs.workplace import OutputRefusedError

_SECRET = b"the owner's secret"


@pytest.mark.parametrize(
    "what", ["link", "linked_folder", "linked_out", "linked_job", "second_name", "pipe", "bound", "nothing"]
)
def test_what_is_no_output_is_refused(yard: Yard, account: Account, way: Way, what: str) -> None:
    """A link, a pipe, a socket, a second name, another folder or none: an error with a reason, at once."""
    with secrets(account) as known:
        done = _left(yard, way, what, known["the token key"])
        with account.acting(), pytest.raises((OutputRefusedError, FileNotFoundError)):
            done.place.outputs()


def test_the_server_would_have_read_it(yard: Yard, account: Account, way: Way) -> None:
    """The control: from outside, where outputs are collected, the planted link leads to the secret."""
    with secrets(account) as known:
        done = _left(yard, way, "link", known["the token key"])
        with account.acting():
            assert (done.place.out / "answer").read_bytes() == _SECRET


def test_a_name_for_the_systems_files_cannot_be_made(yard: Yard, account: Account, way: Way) -> None:
    """Nor is there any file of the owner's that a link could be made to."""
    with secrets(account) as known:
        done = _left(yard, way, "name_of_the_systems", known["the token key"])
    assert done.ended.exit_status == 1
    assert "OSError" in done.stderr


def test_an_honest_answer_is_collected(yard: Yard, account: Account, way: Way) -> None:
    """And the streams, which lie where no task gets."""
    done = _left(yard, way, "honest", "/nowhere")
    with account.acting():
        found = dict(done.place.outputs())
        assert found["out/answer"].read_text() == "42"
    assert set(found) == {"out/answer", "stdout.txt", "stderr.txt"}


def _left(yard: Yard, way: Way, what: str, secret: str) -> Outcome:
    with yard.spawner() as spawner:
        place = yard.place()
        return outcome(spawner.run(yard.inside(way, place, "outputs.py", what, secret)), place)
