"""Attack: ``.jnlp`` files in one home that make every look at all homes long, so that nobody's jobs are taken."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from rjs.bundle.names import parts_of
from rjs.limits import MAX_DESCRIPTOR_BYTES, MAX_JARS
from ws import homes as homes_module
from ws import limits
from ws.homes import JOBS, Homes
from ws.job_sets import JobSets, Look

DEAR = f"<jnlp><information>{'<aplication-desq/>' * 3500}</information></jnlp>"
"""A file of nearly the greatest size that is full of mistakes."""
PATIENCE = 2.0
"""Seconds of a processor for one look, which takes a tenth of one; without limits these take 5 to 50."""


def naming(*jars: str) -> str:
    named = "".join(f'<jar href="{name}"/>' for name in jars)
    return (
        f'<jnlp><information><title>x</title></information><resources><java version="1+"/>{named}</resources>'
        '<application-desc main-class="M"/></jnlp>'
    )


@attrs.define
class Setting:
    """Homes with what was counted in them: bytes read by account, and folders opened."""

    homes: Homes
    read: Counter[str] = attrs.field(factory=Counter)
    opened: int = 0

    def jobs(self, account: str) -> Path:
        self.homes.create(account)
        return self.homes.path / account / JOBS

    def links(self, account: str, xml: str, count: int) -> None:
        """One file under ``count`` names."""
        folder = self.jobs(account)
        (folder / "0.jnlp").write_text(xml)
        for number in range(1, count):
            os.link(folder / "0.jnlp", folder / f"{number}.jnlp")

    def looks(self, sets: JobSets, accounts: list[str], most: int) -> Iterator[Look]:
        """Look after look until everything was looked at, each quick."""
        for _ in range(most):
            started = time.thread_time()
            look = sets.look(accounts)
            assert time.thread_time() - started < PATIENCE
            yield look
            if not look.more:
                return
        pytest.fail("looks without end")


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    made = Setting(Homes(tmp_path))
    read, open_folder = Homes.read, homes_module._open_folder

    def counted_read(self: Homes, account: str, name: str, limit: int) -> bytes:
        data = read(self, account, name, limit)
        made.read[account] += len(data)
        return data

    def counted_open(name: str, parent: int | None) -> AbstractContextManager[int]:
        made.opened += 1
        return open_folder(name, parent)

    monkeypatch.setattr(Homes, "read", counted_read)
    monkeypatch.setattr(homes_module, "_open_folder", counted_open)
    return made


def test_one_dear_file_under_many_names(setting: Setting) -> None:
    """Each look reads a few of them, and finds everything of the others' all the same."""
    setting.links("eve", DEAR, 120)
    (setting.jobs("ada") / "job.jnlp").write_text(naming("a.jar"))
    (setting.jobs("bob") / "job.jar").write_bytes(b"")
    before, found = 0, set[str]()
    for look in setting.looks(JobSets(setting.homes), ["ada", "bob", "eve"], most=120):
        assert {each.account for each in look.found} >= {"ada", "bob"}
        assert setting.read["eve"] - before < limits.JNLP_READ + MAX_DESCRIPTOR_BYTES
        before = setting.read["eve"]
        found = {each.file_name for each in look.found if each.account == "eve"}
    assert len(found) == 120


def test_many_accounts_take_turns(setting: Setting) -> None:
    """However many of them have much to read, one look is bounded, and the last of them has its turn soon."""
    crowd = [f"eve{number}" for number in range(9)]
    for account in crowd:
        setting.links(account, DEAR, 8)
    (setting.jobs("zoe") / "job.jnlp").write_text(naming("a.jar"))
    sets, total = JobSets(setting.homes), 0
    for number, look in enumerate(setting.looks(sets, [*crowd, "zoe"], most=40)):
        assert setting.read.total() - total < limits.JNLP_READ_ALL + MAX_DESCRIPTOR_BYTES
        total = setting.read.total()
        if number == 3:
            assert "zoe" in {each.account for each in look.found}
    assert set(setting.read) == {*crowd, "zoe"}


def test_names_in_deep_folders(setting: Setting) -> None:
    """A file is looked for while its account names few; what is crowded says so and costs nothing."""
    folder = setting.jobs("eve")
    deep = "/".join("d" * 29)
    for number in range(61):
        (folder / f"{number}.jnlp").write_text(
            naming(*(f"{deep}/{number}x{part}/lib.jar" for part in range(MAX_JARS + 1)))
        )
    sets = JobSets(setting.homes)
    *_, last = setting.looks(sets, ["eve"], most=20)
    assert len(last.found) == 61
    crowded = [each for each in last.found if each.stamp.endswith(".crowded")]
    assert 0 < sum(len(each.named) for each in last.found if each not in crowded) <= limits.SET_FILES
    setting.opened = 0
    assert sets.look(["eve"]).found == last.found
    assert setting.opened < limits.SET_FILES * (30 + 2) + 10


def test_a_folder_is_opened_once(setting: Setting) -> None:
    """However many jobs name however many files in it."""
    jobs = setting.jobs("ada")
    libraries = [f"libs/deep/{number}.jar" for number in range(40)]
    for name in libraries:
        path = jobs.joinpath(*parts_of(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for number in range(5):
        (jobs / f"{number}.jnlp").write_text(naming(f"app{number}.jar", *libraries))
    sets = JobSets(setting.homes)
    sets.look(["ada"])
    setting.opened = 0
    look = sets.look(["ada"])
    assert all(each.waits.startswith("not there yet: 'app") for each in look.found)
    assert setting.opened <= 12


def test_files_that_are_gone_are_forgotten(setting: Setting) -> None:
    """Also while others are still to be read: nobody makes the server remember names without end."""
    setting.links("eve", DEAR, 100)
    jobs, sets = setting.jobs("ada"), JobSets(setting.homes)
    for number in range(20):
        (jobs / f"{number}.jnlp").write_text(naming("a.jar"))
        assert sets.look(["ada", "eve"]).more
        (jobs / f"{number}.jnlp").unlink()
    sets.look(["ada", "eve"])
    assert not sets._named["ada"]
