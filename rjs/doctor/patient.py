"""A member's folder under examination: what is looked at for several checks is looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import msgspec

from rjs.discovery.addresses import check_wanted
from rjs.doctor.look import doors, multicast
from rjs.doctor.look.folder import Running, ask_server, look_at_config
from rjs.doctor.rules.discovery import NetworkFacts, SeenServer
from rjs.doctor.rules.folder import ConfigFacts
from rjs.errors import ConfigError, RefusedError
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.names import SERVERS, Role
from rjs.wall_time import Wall
from rjs.wire.proxy import Proxy, read_proxy


@attrs.define(slots=False)
class Patient:
    """Whose folder it is, and what was seen of it."""

    path: Path
    cluster: Path
    member: Member
    wall: Wall

    @property
    def role(self) -> str:
        """The role, as folders and commands spell it."""
        return self.member.role.value

    @property
    def identity(self) -> IdentityFolder:
        """Its keys and certificates."""
        return IdentityFolder(self.cluster / "identity")

    @cached_property
    def split(self) -> str:
        """Why member.json and root.pem are not of one cluster; empty where they are."""
        try:
            self.identity.member()
        except RefusedError as error:
            return error.sentence
        except OSError:
            pass  # the root's own finding
        return ""

    @property
    def is_server(self) -> bool:
        """Whether it is a server's folder, and not a person's."""
        return self.member.role in SERVERS

    @cached_property
    def running(self) -> Running:
        """What runs in it."""
        return ask_server(self.path) if self.is_server else Running(None, "", None)

    @property
    def document(self) -> dict[str, Any]:
        """What its server says; empty where none runs."""
        return self.running.document or {}

    @cached_property
    def config(self) -> tuple[ConfigFacts, msgspec.Struct | None]:
        """Its settings, and all that is wrong with them: what each says by itself, and what servers ask of some."""
        facts, settings = look_at_config(self.path, self.role)
        mistakes = []
        for check, name in ((read_proxy, "proxy"), (check_wanted, "interfaces")):
            try:
                check(getattr(settings, name, ""))
            except ConfigError as error:
                mistakes.append(str(error))
        return attrs.evolve(facts, mistakes=(*facts.mistakes, *mistakes)), settings

    def setting(self, name: str, default: Any) -> Any:
        """A setting, or ``default`` where there is none or it cannot be read."""
        return getattr(self.config[1], name, default)

    @cached_property
    def lan(self) -> Future[tuple[list[NetworkFacts], list[SeenServer]]]:
        """What is heard on the LAN; listened to from the first asking on."""
        return _ears.submit(self._listen)

    def _listen(self) -> tuple[list[NetworkFacts], list[SeenServer]]:
        wanted: Sequence[str] = self.setting("interfaces", [])
        try:
            browsing = _ears.submit(multicast.browse, self.member.cluster, wanted, multicast.BROWSE)
            heard = multicast.listen_on(multicast.own_networks(wanted))
            return heard, browsing.result()
        except ValueError:  # interfaces that are no addresses
            return [], []

    @property
    def proxy(self) -> Proxy | None:
        """The HTTP proxy by which a lookup server reaches its web server."""
        try:
            return read_proxy(self.setting("proxy", ""))
        except ConfigError:
            return None  # the settings' own finding

    @cached_property
    def knocks(self) -> list[doors.Answered]:
        """Every door that this member depends on, knocked at."""
        try:
            token = self.identity.token()
        except (OSError, RefusedError):
            return []  # its certificates' own finding
        return doors.knock_at(_doors(self), token)


_ears = ThreadPoolExecutor(2, thread_name_prefix="doctor-ears")


def _doors(patient: Patient) -> list[doors.Door]:
    """What this member dials, as far as it is not there already."""
    if patient.member.role is Role.WS:
        return []
    if patient.member.role is Role.CS:
        return _lookup_doors(patient)
    ways = [doors.Door(Role.WS, address, patient.proxy) for address in patient.member.ws]
    return ways + (_compute_doors(patient) if patient.member.role is Role.LUS else [])


def _lookup_doors(patient: Patient) -> list[doors.Door]:
    """A CS that is served needs no other door; one that is not looks for every LUS that it could know."""
    if patient.document.get("lus"):
        return []
    named = [doors.Door(Role.LUS, str(address)) for address in patient.setting("lus", [])]
    seen = patient.lan.result()[1]
    return named + [doors.Door(Role.LUS, _address(each)) for each in seen if each.role == "lus"]


def _compute_doors(patient: Patient) -> list[doors.Door]:
    """The CSs that announce themselves and are not registered."""
    known = {
        str(each.get("id")) for each in patient.document.get("servers") or () if each.get("state") != "lost"
    }
    seen = patient.lan.result()[1]
    return [
        doors.Door(Role.CS, _address(each)) for each in seen if each.role == "cs" and each.id not in known
    ]


def _address(seen: SeenServer) -> str:
    host = seen.addresses[0]
    return f"[{host}]:{seen.port}" if ":" in host else f"{host}:{seen.port}"
