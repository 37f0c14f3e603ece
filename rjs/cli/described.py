"""A bundle or an answer as facts, by heading: what ``rjs inspect`` shows, and prints as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from rjs.errors import RefusedError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.bundle.verify import OpenedBundle, Signer
    from rjs.descriptor import Descriptor

TASKS_SHOWN: Final = 5
"""Tasks whose arguments are shown: enough to see how they go on."""


def described(
    file: BinaryIO, at: datetime, roots: Sequence[x509.Certificate] | None = None
) -> dict[str, Any]:
    """Everything worth knowing, by heading; raises RefusedError for what is not in order.

    The signer's path must lead to one of ``roots``; where none are given, the file's own root proves form and dates.
    """
    from rjs.bundle.verify import open_bundle

    try:
        bundle = open_bundle(file, at=at, roots=roots)
    except RefusedError as refused:
        if refused.code != "certificate":  # not for code signing: an answer, perhaps
            raise
        return _answer(file, at, roots, refused)
    bundle.check_all()
    return _job(bundle)


def is_answer(file: BinaryIO, at: datetime) -> bool:
    """Whether the file is signed as answers are, by whomever."""
    from rjs.bundle.verify import open_bundle
    from rjs.identity.oids import ANSWER_EKU

    try:
        open_bundle(file, at=at, purpose=ANSWER_EKU)
    except RefusedError:
        return False
    return True


def _job(bundle: OpenedBundle) -> dict[str, Any]:
    from rjs.descriptor import holds_job, read_descriptor

    if not holds_job(bundle):
        return {
            "bundle": {"id": bundle.bundle_id, "kind": "signed JAR", "job": "there is none in it"},
            "signer": _signer(bundle.signer),
            "files": _files(bundle),
        }
    descriptor = read_descriptor(bundle)
    return {
        "bundle": {"id": bundle.bundle_id, "kind": "job", **_stated(bundle)},
        "signer": _signer(bundle.signer),
        "job": _what_runs(bundle, descriptor),
        "needs": _needs(descriptor),
        "permissions": {"network": list(descriptor.permissions.network)},
        "resources": [_resource(bundle, descriptor, index) for index in range(len(descriptor.resources))],
        "answers": {"sealed": bool(descriptor.answer.recipients), "for": _recipients(descriptor)},
        "files": _files(bundle),
    }


def _answer(
    file: BinaryIO, at: datetime, roots: Sequence[x509.Certificate] | None, otherwise: RefusedError
) -> dict[str, Any]:
    """Describe an answer, by its own root where none is given; what is no answer is refused as ``otherwise``."""
    import msgspec
    from cryptography import x509

    from rjs.answers.answer_jar import open_answer
    from rjs.bundle.verify import open_bundle
    from rjs.identity.oids import ANSWER_EKU

    try:
        path = open_bundle(file, at=at, roots=roots, purpose=ANSWER_EKU).signer.path
    except RefusedError as refused:
        raise otherwise if refused.code == "certificate" else refused from None
    answer = open_answer(file, roots=roots or [x509.load_der_x509_certificate(path[-1])], at=at)
    receipt = msgspec.to_builtins(answer.receipt)
    del receipt["digests"]  # the same as those of the files
    return {
        "bundle": {"id": answer.bundle.bundle_id, "kind": "answer", "sealed": answer.is_sealed},
        "signer": _signer(answer.signer),
        "receipt": receipt,
        "files": _files(answer.bundle),
    }


def _stated(bundle: OpenedBundle) -> dict[str, Any]:
    stated = bundle.attributes
    return {
        "name": stated.name,
        "not_before": stated.not_before,
        "not_after": stated.not_after,
        "cluster": stated.cluster,
    }


def _signer(signer: Signer) -> dict[str, Any]:
    from cryptography import x509

    from rjs.bundle.path import subject_of

    certified_by = [subject_of(x509.load_der_x509_certificate(der)) for der in signer.path[1:]]
    return {
        "subject": signer.subject,
        "key": signer.spki,
        "certified_by": certified_by,
        "not_after": signer.not_after,
    }


def _what_runs(bundle: OpenedBundle, descriptor: Descriptor) -> dict[str, Any]:
    from rjs.descriptor import TaskList

    tasks = TaskList(bundle, descriptor)
    shown = range(min(descriptor.tasks, TASKS_SHOWN))
    return {
        "name": descriptor.name,
        "runtime": descriptor.runtime,
        "entry": descriptor.entry or None,
        "args": list(descriptor.args),
        "tasks": descriptor.tasks,
        "tasks_file": descriptor.each_task if isinstance(descriptor.each_task, str) else None,
        "first_tasks": [tasks.arguments(index) for index in shown],
        "attempts": descriptor.attempts,
        "java_options": list(descriptor.java.options),
        "java_properties": dict(descriptor.java.properties),
        "lock": descriptor.lock or None,
    }


def _needs(descriptor: Descriptor) -> dict[str, Any]:
    needs = descriptor.needs
    return {
        "memory": needs.memory,
        "disk": needs.disk,
        "wall_time": needs.wall_time,
        "cores": needs.cores,
        "platforms": [str(platform) for platform in needs.platforms],
        "python": needs.python or None,
        "java": needs.java or None,
    }


def _resource(bundle: OpenedBundle, descriptor: Descriptor, index: int) -> dict[str, Any]:
    resource = descriptor.resources[index]
    return {
        "platform": str(resource.platform),
        "entry": resource.entry or None,
        "files": list(resource.files),
        "size": _size(bundle, resource.files),
        "jars": [{"name": jar.name, "native": jar.native} for jar in resource.jars],
    }


def _size(bundle: OpenedBundle, names: Iterable[str]) -> int:
    return sum(bundle.entries[name].size for name in names if name in bundle.entries)


def _recipients(descriptor: Descriptor) -> list[dict[str, Any]]:
    from cryptography import x509

    from rjs.bundle.path import subject_of
    from rjs.bundle.verify import spki_of

    found: Sequence[x509.Certificate] = [
        x509.load_der_x509_certificate(der) for der in descriptor.answer.recipients
    ]
    return [{"subject": subject_of(each), "key": spki_of(each)} for each in found]


def _files(bundle: OpenedBundle) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.name,
            "size": entry.size,
            "executable": entry.executable,
            entry.digest.algorithm: entry.digest.value.hex(),
        }
        for entry in bundle.entries.values()
    ]
