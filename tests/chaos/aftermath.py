"""Reads what is left when everything has been stopped: the WS's journal, ``ans/``, the ledgers and logs of the CSs.

The tables and files are read here in the harness's own words, not through the code that wrote them; only answers go
through the real verifier, for that is what a submitter would do.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cluster import Cluster, Person
from cryptography import x509
from history import AnswerFound, AnyEvent, CommitNoticed, EndFound, JobFound, LedgerFound
from payload import LARGE, OUTPUT

from rjs.answers.answer_jar import open_answer
from rjs.attempts import Fence
from rjs.errors import RjsError
from rjs.identity.keys import load_chain

STATES = ("open", "leased", "committed", "failed", "cancelled")
"""How the journal numbers the states of tasks."""

_NOTICE = re.compile(
    r"committed: ([0-9a-f]{64})\.(\d+)\.(\d+)\.(\d+)\.(\d+)\.jar ([0-9a-f]{64})$", re.MULTILINE
)


def aftermath(cluster: Cluster, person: Person) -> Iterator[AnyEvent]:
    """Everything that is found."""
    yield from journal(cluster["ws"].folder)
    yield from answers(person.ans, load_chain(cluster.root))
    for server in cluster.compute_servers:
        yield from ledger(server.folder, server.name)
        yield from notices(server.log, server.name)


def journal(folder: Path) -> Iterator[JobFound | EndFound]:
    """The jobs and the ends of tasks in a WS's database."""
    with _copied(next(folder.glob("clusters/*/ws.sqlite"))) as db:
        for job, brief, closed, reason in db.execute(
            "SELECT id, brief, closed_state, closed_reason FROM jobs"
        ):
            tasks = msgspec.msgpack.decode(brief)["tasks"]
            yield JobFound(
                job=job, tasks=tasks, closed="" if closed is None else STATES[closed], reason=reason
            )
        for job, task, state, reason, sha256 in db.execute(
            "SELECT job, task, state, reason, sha256 FROM ends"
        ):
            yield EndFound(job=job, task=task, state=STATES[state], reason=reason, sha256=sha256)


def answers(folder: Path, roots: Sequence[x509.Certificate]) -> Iterator[AnswerFound]:
    """The files in a home's ``ans/``, each judged by the real verifier."""
    for path in sorted(folder.glob("*/*")):
        yield _answer(path, roots)


def _answer(path: Path, roots: Sequence[x509.Certificate]) -> AnswerFound:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    task = int(path.stem) if path.stem.isdigit() and path.suffix == ".jar" else -1
    try:
        with path.open("rb") as file:
            opened = open_answer(file, roots=roots, at=datetime.now(UTC))
            with opened.bundle as bundle:
                value = hashlib.sha256(bundle.read(OUTPUT, 2 * LARGE)).hexdigest()
    except RjsError as error:
        return AnswerFound(job=path.parent.name, task=task, sha256=sha256, fault=str(error))
    receipt = opened.receipt
    named = receipt.task == task and receipt.bundle_id.startswith(path.parent.name)
    return AnswerFound(
        job=receipt.bundle_id, task=receipt.task, sha256=sha256, cs=receipt.cs_name, fence=receipt.fence, value=value,
        fault="" if named else f"it lies at {path}, and is of another task",
    )  # fmt: skip


def ledger(folder: Path, cs: str) -> Iterator[LedgerFound]:
    """The attempts in a CS's ledger."""
    with _copied(next(folder.glob("clusters/*/ledger.sqlite"))) as db:
        for job, task, *fence in db.execute("SELECT job, task, generation, lease, sequence FROM attempts"):
            yield LedgerFound(cs=cs, job=job, task=task, fence=Fence(*fence))


def notices(log: Path, cs: str) -> Iterator[CommitNoticed]:
    """The commit notices of which a CS's log tells."""
    for job, task, *fence, sha256 in _NOTICE.findall(log.read_text(errors="replace")):
        yield CommitNoticed(cs=cs, job=job, task=int(task), fence=Fence(*map(int, fence)), sha256=sha256)


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of a database, write-ahead log included: what a server would find at its next start."""
    with tempfile.TemporaryDirectory() as folder:
        for each in path.parent.glob(f"{path.name}*"):
            shutil.copy(each, folder)
        with closing(sqlite3.connect(Path(folder, path.name))) as db:
            yield db
