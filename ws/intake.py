"""Intake: from files in ``jobs/`` (or an upload over a session) to a job, or to a refusal that says why.

The order is what makes it safe: copy into our own folder without following links, verify the copy, admit it,
rename it to its bundle id, journal the job. A job of several JARs is one file of ours, one after the other. Whatever
is killed in between leaves at most an incoming file, which the next start removes, and the upload is judged again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
from twisted.logger import Logger

from rjs.background import Workers
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.bundle.verify import OpenedBundle, Signer, open_bundle
from rjs.bundle.window import Window
from rjs.crash_points import crash_point
from rjs.descriptor import DESCRIPTOR_NAME, JNLP_NAME, DescriptorError
from rjs.errors import OverloadedError, RefusedError
from rjs.ids import ClusterId
from rjs.limits import MAX_DESCRIPTOR_BYTES
from rjs.wire.messages import JarPart
from ws import limits, store
from ws.admission import Upload, admit
from ws.bundles import Bundles, Incoming, too_large
from ws.homes import JNLP_SUFFIX, Found, Homes
from ws.job import Job
from ws.job_sets import IncompleteSetError, JobSets, UnsettledSetError, named_by
from ws.shell import Shell

_log = Logger("ws.intake")

_OVER = frozenset({"certificate-expired", "job-expired"})
_PASSING = _OVER | {"queue-full", "too-many-jobs", "certificate-not-yet-valid", "job-not-yet-valid"}
"""Refusals for reasons outside the bundle: other jobs end, and this computer's clock may be put right."""


@attrs.define
class Intake:
    """Judges uploads and makes jobs of them."""

    shell: Shell
    bundles: Bundles
    homes: Homes
    sets: JobSets
    workers: Workers
    cluster: ClusterId
    signers: Callable[[str], frozenset[str]]
    check_upload: Callable[[str, Signer], object] = lambda account, signer: None
    """Refuses an account, or a signer, that is revoked."""
    check_room: Callable[[], None] = lambda: None
    """Refuses everybody while the disk has no room for anything new."""
    _accepting: set[str] = attrs.field(factory=set)

    async def take_found(self, found: Found) -> Job:
        """Make a job of a file in ``jobs/``. Raises RefusedError with what is wrong with it (``may_pass`` says
        whether for ever), and OSError when it cannot be read."""
        self.check_room()
        if found.waits:
            raise IncompleteSetError("set-incomplete", found.waits)
        if found.size > limits.BUNDLE:
            raise too_large()
        incoming = await self.workers.run(partial(self._copy, found))
        upload = Upload(found.account, found.file_name, sum(incoming.sizes), incoming.sha256)
        job = await self._judge(incoming, upload)
        try:
            await self.record(found, "")
            crash_point("ws.upload.recorded")
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

    async def take_incoming(self, path: Path, upload: Upload) -> Job:
        """Make a job of bytes that are in an incoming file already."""
        return await self._judge(Incoming(path, (upload.size,), upload.sha256), upload)

    def _copy(self, found: Found) -> Incoming:
        """Copy a file, or all files of a job at once: none of them changed while that lasted."""
        homes, is_jnlp = self.homes, found.file_name.endswith(JNLP_SUFFIX)
        jnlp = homes.read(found.account, found.file_name, MAX_DESCRIPTOR_BYTES) if is_jnlp else b""
        if is_jnlp and named_by(jnlp) != found.named:
            raise _changed()
        names = found.named or (found.file_name,)
        incoming = self.bundles.copy_in(homes.open_file(found.account, name) for name in names)
        if found.named and not self.sets.is_unchanged(found):
            incoming.path.unlink()
            raise _changed()
        return attrs.evolve(incoming, names=names[1:], jnlp=jnlp)

    async def _judge(self, incoming: Incoming, upload: Upload) -> Job:
        crash_point("ws.upload.received")
        try:
            job = await self.workers.run(partial(self._verify, incoming, upload))
            crash_point("ws.upload.verified")
            known = self.shell.queue.jobs.get(job.id)
            if known is not None and _is_same_upload(known.job, job):
                await self.shell.perform([])  # what is said to be accepted is durable
                return known.job
            await self._accept(incoming.path, job)
        finally:
            await self._remove(incoming.path)
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
                crash_point("ws.upload.kept")
            await self.shell.perform(self.shell.queue.add_job(job, self.shell.now()))
            crash_point("ws.upload.journalled")
        finally:
            self._accepting.discard(job.id)

    def _verify(self, incoming: Incoming, upload: Upload) -> Job:
        """1. The bundle is one by our verifier, and the ``.jnlp`` that names it is in it, signed. 2. It may be a job
        here and now. 3. Every byte of it is as signed. 4. So is each JAR that follows, and by the same signer."""
        now = self.shell.wall()
        with incoming.path.open("rb") as file:
            main, *further = incoming.windows(file)
            with open_bundle(main, at=now) as bundle:
                _check_jnlp(bundle, incoming.jnlp)  # 1
                job = self._admitted(bundle, upload, now, incoming.parts)  # 2
                bundle.check_all()  # 3
                for name, window in zip(incoming.names, further, strict=True):
                    _check_jar(name, window, bundle.signer, now)  # 4
                return job

    def _admitted(
        self, bundle: OpenedBundle, upload: Upload, now: dt.datetime, parts: tuple[JarPart, ...]
    ) -> Job:
        self.check_upload(upload.account, bundle.signer)
        try:
            return admit(bundle, upload, self.signers(upload.account), self.cluster, now, parts)
        except DescriptorError:
            if _is_no_job(bundle):
                raise IncompleteSetError(
                    "no-job", "it has no descriptor and no Main-Class, and nothing here names it: if it belongs to "
                    "another JAR, put that one, or its .jnlp, here; if it is a job, add a job.toml and sign again",
                ) from None  # fmt: skip
            raise


def _check_jnlp(bundle: OpenedBundle, jnlp: bytes) -> None:
    """The unsigned ``.jnlp`` beside a main JAR says nothing that is not signed in it."""
    if not jnlp:
        return
    if JNLP_NAME not in bundle.entries:
        raise UnsettledSetError(
            "jnlp-unsigned", f"its main JAR does not hold it as {JNLP_NAME}; put it there and sign again"
        )
    if bundle.read(JNLP_NAME, MAX_DESCRIPTOR_BYTES) != jnlp:
        raise UnsettledSetError(
            "jnlp-differs",
            f"it is not the {JNLP_NAME} that is signed in its main JAR, byte for byte; copy that one",
        )


def _check_jar(name: str, window: Window, signer: Signer, now: dt.datetime) -> None:
    """A further JAR is valid, and of the job's signer."""
    try:
        with open_bundle(window, at=now) as jar:
            if jar.signer.spki != signer.spki:
                raise UnsettledSetError(
                    "jar-signer",
                    f"{shown(name)} is signed by another key than the main JAR; sign all with one key",
                )
            jar.check_all()
    except BundleRefusedError as error:
        raise BundleRefusedError(error.code, f"{shown(name)}: {error.sentence}") from None


def _is_no_job(bundle: OpenedBundle) -> bool:
    return (
        bundle.entries.keys().isdisjoint((DESCRIPTOR_NAME, JNLP_NAME))
        and "main-class" not in bundle.main_headers
    )


def _is_same_upload(known: Job, job: Job) -> bool:
    """Whether what is accepted already is this very upload: judged again, or found by its ``.jnlp`` and without."""
    names = {known.file_name, job.file_name}
    same_name, by_jnlp = len(names) == 1, any(name.endswith(JNLP_SUFFIX) for name in names)
    same_bytes = known.brief.sha256 == job.brief.sha256
    return (
        known.user == job.user
        and (same_bytes or not job.brief.jars)
        and (same_name or (by_jnlp and same_bytes))
    )


def _changed() -> RefusedError:
    return UnsettledSetError(
        "set-changed", "its files changed while they were copied; they are looked at again"
    )


def may_pass(error: RefusedError) -> bool:
    """Whether the same bytes may be accepted later: there is too much to do, or a clock is (or was) wrong."""
    return isinstance(error, OverloadedError) or error.code in _PASSING


def is_over(error: RefusedError) -> bool:
    """Whether only a clock that was wrong could make this refusal pass: the user is told that it is one."""
    return error.code in _OVER


def may_be_unfinished(error: RefusedError) -> bool:
    """Whether a file that is still arriving could be refused like this: its bytes, not its signer, are wrong."""
    return isinstance(error, BundleRefusedError | UnsettledSetError)
