"""The parts of a descriptor that its owner, its recipients and the Java virtual machine have a say in."""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.cms import UNREADABLE
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import check_recipients
from rjs.descriptor.amounts import SIZE_UNITS, amount
from rjs.descriptor.fields import AnswerTable, JobTable, PermissionsTable
from rjs.descriptor.java_machine import memory_for
from rjs.descriptor.java_options import heap_of, option_faults, property_faults
from rjs.descriptor.mistakes import Mistakes
from rjs.descriptor.model import Answer, JavaSettings, Permissions
from rjs.limits import JAVA_ROOM, MIB
from rjs.network_places import PlaceRefusedError, network_place


def permissions_of(table: PermissionsTable, mistakes: Mistakes) -> Permissions:
    """What the job asks for, each place once and in its one form."""
    places: dict[str, None] = {}
    for index, text in enumerate(table.network):
        try:
            places[network_place(text)] = None
        except PlaceRefusedError as error:
            mistakes.field(("permissions", "network", index), f"is wrong: {error.sentence}")
    return Permissions(network=tuple(places))


def answer_of(table: AnswerTable, mistakes: Mistakes) -> Answer:
    """Whom outputs are sealed for."""
    if table.encrypt and not table.recipients and not mistakes.wrong("answer"):
        mistakes.field(("answer", "encrypt"), "needs recipients; add their certificates as texts in PEM")
    if table.recipients and not table.encrypt and not mistakes.wrong("answer"):
        mistakes.field(
            ("answer", "recipients"), "has an effect with encrypt = true only; add that, or remove it"
        )
    certificates = []
    for index, pem in enumerate(table.recipients):
        path = ("answer", "recipients", index)
        certificate = _certificate(pem)
        if certificate is None:
            mistakes.field(path, "must be one certificate in PEM, from its BEGIN to its END line")
        elif fault := _recipients_fault([certificate]):
            mistakes.field(path, f"cannot be used: {fault}")
        else:
            certificates.append(certificate)
    if len(certificates) > 1 and (fault := _recipients_fault(certificates)):
        mistakes.field(("answer", "recipients"), f"cannot be used: {fault}")
    return Answer(recipients=tuple(each.public_bytes(Encoding.DER) for each in certificates))


def java_of(table: JobTable, mistakes: Mistakes) -> JavaSettings:
    """How the virtual machine is started."""
    stated = table.java
    settings = JavaSettings(options=stated.options, properties=tuple(stated.properties.items()))
    if table.runtime != "java" and settings != JavaSettings() and not mistakes.wrong("runtime"):
        mistakes.field(("java",), f'is for Java; the runtime is "{table.runtime}": remove it')
    for fault in option_faults(settings.options):
        mistakes.field(("java", "options"), fault)
    for fault in property_faults(settings.properties):
        mistakes.field(("java", "properties"), fault)
    if table.runtime == "java":
        _check_memory(table, settings, mistakes)
    return settings


def _check_memory(table: JobTable, settings: JavaSettings, mistakes: Mistakes) -> None:
    """The virtual machine needs memory of its own beside the heap; compute servers refuse to start it without."""
    heap, memory = heap_of(settings.options), amount(table.needs.memory, SIZE_UNITS)
    if memory is None:
        return
    least = memory_for(0) if heap is None else heap + JAVA_ROOM
    if memory < least:
        mistakes.field(
            ("needs", "memory"),
            f"must be at least {-(-least // MIB)} MiB: the heap, and room for Java itself",
        )


def _certificate(pem: str) -> x509.Certificate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (certificate,) = x509.load_pem_x509_certificates(pem.encode())
            certificate.public_bytes(Encoding.DER)
    except UNREADABLE:
        return None
    return certificate


def _recipients_fault(certificates: list[x509.Certificate]) -> str:
    try:
        check_recipients(certificates)
    except SealRefusedError as error:
        return error.sentence.removeprefix("nothing was sealed: ")
    return ""
