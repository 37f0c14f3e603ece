"""State folders: one process holds one, by name; starts are counted; a cluster is found or asked for."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rjs.errors import ConfigError
from rjs.identity.ca import cluster_of
from rjs.identity.enrolment import check_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.state import StateFolder, cluster_folder, make_state_folder, signing_identity, sole_cluster

HOLD = "import sys; from pathlib import Path; from rjs.state import StateFolder\nwith StateFolder.enter(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"  # noqa: E501


def test_a_second_process_is_told_which_one_holds_it(tmp_path: Path) -> None:
    """Only one process serves from a folder; the next one learns its number, and may come when it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=f"is in use by process {holder.pid}; stop that first"):
            StateFolder.enter(tmp_path)
        holder.kill()
        holder.wait()
    with StateFolder.enter(tmp_path) as state:
        assert state.path == tmp_path
        with pytest.raises(ConfigError, match=f"in use by process {os.getpid()};"):
            StateFolder.enter(tmp_path)
    with StateFolder.enter(tmp_path):
        pass


def test_a_relative_path_stays_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that changes its working directory keeps its state."""
    (tmp_path / "lus").mkdir()
    monkeypatch.chdir(tmp_path)
    with StateFolder.enter(Path("lus")) as state:
        monkeypatch.chdir("/")
        assert state.next_boot().count == 1
    assert (tmp_path / "lus" / "boots").read_text() == "1\n"


def test_a_folder_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    """Nothing is made by running a server in the wrong place."""
    with pytest.raises(ConfigError, match="is not a server's state folder; make one with rjs join"):
        StateFolder.enter(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_starts_are_counted_durably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start has a higher number and an id of its own, and the number is on the disk before it is used."""
    synced: list[int] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    boots = []
    for _ in range(3):
        with StateFolder.enter(tmp_path) as state:
            before = len(synced)
            boots.append(state.next_boot())
            assert len(synced) >= before + 2  # the file and its name
    assert [boot.count for boot in boots] == [1, 2, 3]
    assert len({boot.id for boot in boots}) == 3 and all(len(boot.id) == 32 for boot in boots)


@pytest.mark.parametrize("content", [b"", b"-3\n", b"three\n", b"1\n2\n", "²".encode()])
def test_a_damaged_count_is_told(tmp_path: Path, content: bytes) -> None:
    """A count that is none is refused with its path and the remedy."""
    (tmp_path / "boots").write_bytes(content)
    with (
        StateFolder.enter(tmp_path) as state,
        pytest.raises(ConfigError, match=r"boots is damaged.*remove it"),
    ):
        state.next_boot()
    assert (tmp_path / "boots").read_bytes() == content


def test_a_cluster_is_found_or_asked_for(tmp_path: Path) -> None:
    """No cluster, one, and several: each is told from the others."""
    now = dt.datetime.now(dt.UTC)
    with pytest.raises(ConfigError, match="has joined no cluster yet"):
        sole_cluster(tmp_path)
    folders = [join(tmp_path, Organisation(now), now)]
    assert sole_cluster(tmp_path) == folders[0]
    with StateFolder.enter(tmp_path) as state:
        assert state.identity().member().name.role is Role.USER
    with pytest.raises(IdentityError, match="not certified yet"):
        signing_identity(tmp_path)
    folders.append(join(tmp_path, Organisation(now), now))
    with pytest.raises(ConfigError, match="has joined several clusters"):
        sole_cluster(tmp_path)


def join(path: Path, organisation: Organisation, now: dt.datetime) -> Path:
    """What ``rjs join`` leaves of a person."""
    invitation = organisation.invitation(Role.USER)
    folder = cluster_folder(path, cluster_of(organisation.root))
    identity = IdentityFolder(folder / "identity")
    request = identity.create_pending(invitation, now)
    checked = check_enrolment(request, invitation.identity.chain, organisation.root, now)
    chain = organisation.tokens.issue(checked.token_public_key, checked.name, checked.common_name, now)
    identity.complete(invitation, chain, now)
    return folder


def test_no_server_settles_among_other_files(tmp_path: Path) -> None:
    """A folder with files of its own is refused and left alone; a new, an empty and a begun one are taken."""
    sources = tmp_path / "ws"
    sources.mkdir()
    (sources / "queue.py").write_text("")
    with pytest.raises(
        ConfigError, match=r"ws is no state folder, and holds other files, such as 'queue\.py'; name"
    ):
        make_state_folder(sources)
    assert [path.name for path in sources.iterdir()] == ["queue.py"]
    for begun in ("", "lock", "config.toml", "clusters"):
        folder = tmp_path / f"state-{begun}"
        make_state_folder(folder)
        (folder / begun).mkdir(exist_ok=True)
        make_state_folder(folder)
