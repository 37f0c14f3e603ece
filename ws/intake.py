"""Intake: from a file in ``jobs/`` (or an upload over a session) to a job, or to a refusal that says why.

The order is what makes it safe: copy into our own folder without following links, verify the copy, admit it,
rename it to its bundle id, journal the job. Whatever is killed in between leaves at most an incoming file,
which the next start removes, and the upload is judged again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import attrs
from twisted.logger import Logger

from rjs.background import Workers
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.verify import open_bundle
from rjs.errors import OverloadedError, RefusedError
from rjs.files import sync_folder
from rjs.ids import BundleId, ClusterId
from ws import limits, store
from ws.admission import Upload, admit
from ws.homes import Found, Homes
from ws.job import Job
from ws.shell import Shell

_log = Logger("ws.intake")

_INCOMING = ".incoming-"

_OVER = frozenset({"certificate-expired", "job-expired"})
_PASSING = _OVER | {"queue-full", "too-many-jobs", "certificate-not-yet-valid", "job-not-yet-valid"}
"""Refusals for reasons outside the bundle: other jobs end, and this computer's clock may be put right."""


class Bundles:
    """The WS's own copies of accepted bundles, by bundle id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear_incoming(self) -> None:
        """Remove what a killed process left half done."""
        for pattern in (f"{_INCOMING}*", f".{_INCOMING}*.part"):  # copied here, and read from a session
            for path in self._folder.glob(pattern):
                path.unlink()

    def path(self, job: str) -> Path:
        """Where the bundle of a job is."""
        return self._folder / f"{job}.jar"

    def incoming(self) -> Path:
        """A new name for bytes that are not judged yet."""
        return self._folder / f"{_INCOMING}{secrets.token_hex(16)}"

    def copy_in(self, source: BinaryIO) -> tuple[Path, int, str]:
        """Copy bytes into a new incoming file, durably: its path, size and SHA-256. Refuses too many."""
        path = self.incoming()
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("xb") as file:
                while chunk := source.read(limits.COPY):
                    size += len(chunk)
                    if size > limits.BUNDLE:
                        raise _too_large()
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, size, digest.hexdigest()

    def keep(self, incoming: Path, job: BundleId) -> None:
        """The incoming file is this job's bundle: name it so, durably."""
        incoming.replace(self.path(job))
        sync_folder(self._folder)


@attrs.define
class Intake:
    """Judges uploads and makes jobs of them."""

    shell: Shell
    bundles: Bundles
    homes: Homes
    workers: Workers
    cluster: ClusterId
    signers: Callable[[str], frozenset[str]]
    _accepting: set[str] = attrs.field(factory=set)

    async def take_found(self, found: Found) -> Job:
        """Make a job of a file in ``jobs/``. Raises RefusedError with what is wrong with it (``may_pass`` says
        whether for ever), and OSError when it cannot be read."""
        if found.size > limits.BUNDLE:
            raise _too_large()
        incoming, size, sha256 = await self.workers.run(partial(self._copy, found))
        upload = Upload(found.account, found.file_name, size, sha256)
        job = await self._judge(incoming, upload)
        try:
            await self.record(found, "")
        except OverloadedError:
            _log.info("{file} of {account} is judged again after a restart", file=found.file_name,
                      account=found.account)  # fmt: skip
        return job

    async def record(self, found: Found, refusal: str) -> None:
        """Have this version of a file judged for good: accepted, or refused for the reason given. Durable."""
        await self.shell.storage.write(
            partial(
                store.record_upload,
                account=found.account,
                file_name=found.file_name,
                stamp=found.stamp,
                refusal=refusal,
            )
        )

    async def take_incoming(self, incoming: Path, upload: Upload) -> Job:
        """Make a job of bytes that are in an incoming file already."""
        return await self._judge(incoming, upload)

    def _copy(self, found: Found) -> tuple[Path, int, str]:
        with self.homes.open_bundle(found) as source:
            return self.bundles.copy_in(source)

    async def _judge(self, incoming: Path, upload: Upload) -> Job:
        try:
            job = await self.workers.run(partial(self._verify, incoming, upload))
            known = self.shell.queue.jobs.get(job.id)
            if known is not None and (known.job.user, known.job.file_name) == (job.user, job.file_name):
                await self.shell.perform([])  # what is said to be accepted is durable
                return known.job
            await self._accept(incoming, job)
        finally:
            await self._remove(incoming)
        _log.info("job {job} of {account} accepted: {name}, {tasks} tasks", job=job.id[:16],
                  account=job.user, name=job.brief.name, tasks=job.brief.tasks)  # fmt: skip
        return job

    async def _remove(self, incoming: Path) -> None:
        try:
            await self.workers.run(partial(incoming.unlink, missing_ok=True))
        except OverloadedError:  # says nothing about the job, which may stand
            incoming.unlink(missing_ok=True)

    async def _accept(self, incoming: Path, job: Job) -> None:
        """Keep the bytes and journal the job. One upload of a bundle at a time: its job states the digest of the
        bytes that are kept, and another file of the same bundle id has other bytes."""
        if job.id in self._accepting:
            raise RefusedError(
                "already-accepted", "the same bundle is being accepted now; sign again to run again"
            )
        self._accepting.add(job.id)
        try:
            if job.id not in self.shell.queue.jobs:
                self.shell.queue.admit(job.user)
                await self.workers.run(partial(self.bundles.keep, incoming, job.id))
            await self.shell.perform(self.shell.queue.add_job(job, self.shell.now()))
        finally:
            self._accepting.discard(job.id)

    def _verify(self, incoming: Path, upload: Upload) -> Job:
        now = dt.datetime.now(dt.UTC)
        with incoming.open("rb") as file, open_bundle(file, at=now) as bundle:
            job = admit(bundle, upload, self.signers(upload.account), self.cluster, now)
            bundle.check_all()
            return job


def _too_large() -> RefusedError:
    return RefusedError("too-large", f"a bundle has at most {limits.BUNDLE} bytes here")


def may_pass(error: RefusedError) -> bool:
    """Whether the same bytes may be accepted later: there is too much to do, or a clock is (or was) wrong."""
    return isinstance(error, OverloadedError) or error.code in _PASSING


def is_over(error: RefusedError) -> bool:
    """Whether only a clock that was wrong could make this refusal pass: the user is told that it is one."""
    return error.code in _OVER


def may_be_unfinished(error: RefusedError) -> bool:
    """Whether a file that is still arriving could be refused like this: its bytes, not its signer, are wrong."""
    return isinstance(error, BundleRefusedError)
