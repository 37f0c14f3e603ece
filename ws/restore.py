"""``rjs ws restore``: a web server as a backup has it, made true again by what ``ans/`` knows better.

What the backup does not know was acknowledged all the same: answers that came after it lie in ``ans/``, so their
tasks are committed here too. Fences get a new generation, above all that were given, so that no report of an attempt
that was placed after the backup is taken for one of ours. See `docs/backup.md`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509

from rjs.answers.answer_jar import open_answer
from rjs.attempts import AttemptId
from rjs.config import CONFIG_NAME, read_config
from rjs.errors import ConfigError, RefusedError
from rjs.files import sync_folder
from rjs.identity.accepted_file import ACCEPTED_CAS, kept_acceptance
from rjs.identity.folder import IdentityFolder
from rjs.identity.names import Role
from rjs.identity.revocation_file import REVOCATIONS, kept_revocations
from rjs.jobs import TaskState
from rjs.state import CLUSTERS, StateFolder, make_state_folder, private_folder
from rjs.storage import Connection, open_database
from ws import store
from ws.backup import DATABASE, IDENTITY, STAGING, STATE
from ws.backup_file import Contents, read_backup
from ws.config import WsSettings
from ws.homes import Homes
from ws.instructions import Answer, TaskEnded
from ws.job import JobState

_WORK: Final = ".restoring"
_NEW: Final = "new"


@attrs.frozen
class Restored:
    """What came of it. ``found``: answers that only ``ans/`` knew of; ``lost``: answers that are nowhere any more,
    whose tasks are computed again; ``aside``: where the state before lies now."""

    contents: Contents
    generation: int
    jobs: int
    found: int
    lost: int
    aside: Path | None


def restore(folder: Path, source: Path, now: dt.datetime) -> Restored:
    """Make ``folder`` the state folder that the backup ``source`` is of; what was there of it is put aside.

    Killed anywhere it may be run again. Raises ConfigError (another server's folder, one in use), RefusedError (no
    whole backup), StorageError, OSError; then ``folder`` has what it had.
    """
    make_state_folder(folder)
    with StateFolder.enter(folder):
        work = folder / CLUSTERS / _WORK
        shutil.rmtree(work, ignore_errors=True)
        try:
            new = private_folder(work / _NEW)
            contents = read_backup(source, new)
            _check_whose(folder, new, contents)
            return _restored(folder, new, contents, now)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _check_whose(folder: Path, new: Path, contents: Contents) -> None:
    if IdentityFolder(new / IDENTITY).member().role is not Role.WS:
        raise RefusedError("backup", "it is of no web server")
    others = {each.name for each in (folder / CLUSTERS).iterdir()} - {_WORK, contents.cluster}
    if others:
        raise ConfigError(
            f"{folder} is of cluster {min(others)}, the backup of {contents.cluster}; name another folder"
        )


def _restored(folder: Path, new: Path, contents: Contents, now: dt.datetime) -> Restored:
    old = folder / CLUSTERS / contents.cluster
    _keep_what_only_grows(_state_before(folder, old), new)
    for name in (CONFIG_NAME, "boots"):
        if (new / STATE / name).exists() and not (folder / name).exists():
            (new / STATE / name).replace(folder / name)
    homes = Homes(folder / read_config(WsSettings, folder).homes)
    database = open_database(new / DATABASE, store.MIGRATIONS, application_id=store.APPLICATION_ID)
    try:
        done = _reconciled(database, homes, new, now)
    finally:
        database.close()
    shutil.rmtree(new / STATE, ignore_errors=True)
    aside = _put_in_place(folder, new, old, now)
    return Restored(contents, *done, aside)


def _state_before(folder: Path, old: Path) -> Path:
    """What was there: in its place, or aside, where a restore that was killed before its end has put it."""
    return old if old.exists() else max(folder.glob(f"before-restore-*/{old.name}"), default=old)


def _keep_what_only_grows(old: Path, new: Path) -> None:
    """The log of what was issued, lists of the revoked, and statements of accepted CAs, of the state before where
    those are the newer: else an invitation could be used a second time, and a CA that was withdrawn would be back."""
    log = Path(IDENTITY) / "authority" / "issued.jsonl"
    if (old / log).is_file() and _begins_with(old / log, new / log):
        shutil.copyfile(old / log, new / log)
    root = IdentityFolder(new / IDENTITY).root()
    for kind in (REVOCATIONS, ACCEPTED_CAS):
        for name in (Path(kind), Path(IDENTITY) / "authority" / kind):
            if _number(old / name, root) > _number(new / name, root):
                shutil.copyfile(old / name, new / name)


def _begins_with(longer: Path, beginning: Path) -> bool:
    if not beginning.is_file():
        return True
    with longer.open("rb") as file, beginning.open("rb") as other:
        while part := other.read(1 << 20):
            if file.read(len(part)) != part:
                return False
    return True


def _number(path: Path, root: x509.Certificate) -> int:
    kept = kept_acceptance if path.name == ACCEPTED_CAS else kept_revocations
    try:
        newest = kept(path, root)
    except ConfigError:
        return -1
    return -1 if newest is None else newest.number


def _reconciled(database: Connection, homes: Homes, new: Path, now: dt.datetime) -> tuple[int, int, int, int]:
    """The generation, the jobs that have not ended, answers found in ``ans/``, answers lost."""
    generation = max(store.generation(database) + 1, int(now.timestamp()))
    root, keys = IdentityFolder(new / IDENTITY).root(), store.answer_keys(database)
    found = lost = 0
    database.execute("BEGIN")
    store.set_generation(database, generation)
    jobs = store.load_queue(database, 0.0).jobs
    for state in jobs.values():
        for ended in _only_in_ans(state, homes, root, keys, now):
            store.commit_delivered(database, ended)
            found += 1
    for answer in store.undelivered(database, -1):
        if answer.data is None and not (new / STAGING / answer.staged).exists():
            if answer.task in homes.answers(answer.account, answer.job):
                store.delivered(database, [answer])
            else:
                store.reopen(database, answer)
                lost += 1
    database.execute("COMMIT")
    return (
        generation,
        sum(not state.ended for state in store.load_queue(database, 0.0).jobs.values()),
        found,
        lost,
    )


def _only_in_ans(
    state: JobState, homes: Homes, root: x509.Certificate, keys: dict[str, str], now: dt.datetime
) -> Iterator[TaskEnded]:
    """The tasks of a job that are open in the journal, and of which ``ans/`` has a valid answer."""
    job = state.job
    for task in () if state.ended else homes.answers(job.user, job.id):
        if task < job.brief.tasks and state.state(task) in (TaskState.OPEN, TaskState.LEASED):
            try:
                with homes.open_answer(job.user, job.id, task) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    size = file.tell()
                    opened = open_answer(file, roots=[root], at=now)
                    with opened.bundle:
                        receipt, spki = opened.receipt, opened.signer.spki
            except (RefusedError, OSError):
                continue  # the user's own file, or half of one
            if (receipt.bundle_id, receipt.task) == (job.id, task) and keys.get(receipt.cs) == spki:
                attempt = AttemptId(job.id, task, receipt.fence)
                answer = Answer(attempt, receipt.cs, receipt.cs_name, digest, size, b"", "")
                yield TaskEnded(job.id, task, TaskState.COMMITTED, answer=answer)


def _put_in_place(folder: Path, new: Path, old: Path, now: dt.datetime) -> Path | None:
    aside = None
    if old.exists():
        aside = private_folder(folder / f"before-restore-{now:%Y%m%dT%H%M%S}") / old.name
        old.rename(aside)
        sync_folder(aside.parent)
    new.rename(old)
    sync_folder(old.parent)
    return aside
