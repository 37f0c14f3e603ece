"""``rjs join``: from an invitation to a member."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import person_folder, role_entry
from rjs.cli.options import wrong_usage
from rjs.cli.passphrases import new_passphrase
from rjs.cli.reach import reach_of
from rjs.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from rjs.identity.folder import Member
    from rjs.identity.invitation import Invitation


@click.command("join")
@click.argument("invitation")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="A setting for a server's config.toml; VALUE as in TOML, or plain text.")  # fmt: skip
@click.option("--wait", type=click.FloatRange(0, 3600), default=15, show_default=True, metavar="SECONDS",
              help="How long to try while the web server cannot be reached.")  # fmt: skip
@click.option("--passphrase", "protect", is_flag=True,
              help="Ask for a passphrase that protects your signing and encryption key.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Protect those keys with the passphrase in this file.")  # fmt: skip
@json_option
def command(
    invitation: str,
    folder: Path | None,
    settings: tuple[str, ...],
    wait: float,
    protect: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Become a member of a cluster by an invitation.

    DIR is the state folder of a server. A person needs none: keys go into the person's own folder. All keys are
    made on this machine and never leave it. Where the web server cannot be reached, a lookup server carries what is
    asked for: one that the invitation names, or one that announces itself on this LAN. What a lookup server is given
    as proxy leads through that from the beginning.

    \b
    Example:
      rjs join rjs1-… ~/rjs-cs --set port=0
      rjs join rjs1-… ~/rjs-lus --set proxy=http://proxy.example:3128
      rjs join rjs1-…
      rjs join rjs1-… --passphrase
    """
    from rjs.client import join, run_client
    from rjs.identity.invitation import Invitation
    from rjs.identity.names import SERVERS, Role

    with wrong_usage("identity.invitation"):
        invited = Invitation.decode(invitation)
    server = invited.subject.role in SERVERS
    if server and folder is None:
        raise click.UsageError(
            f"an invitation as {invited.subject.role} needs DIR, the server's state folder"
        )
    if settings and not server:
        raise click.UsageError("--set is for servers")
    protected = protect or passphrase_file is not None
    if protected and invited.subject.role is not Role.USER:
        raise click.UsageError("a passphrase is for the keys of a person who submits jobs")
    place = folder or person_folder()
    if server:
        _write_config(invited, place, _settings(settings))
    passphrase = new_passphrase(passphrase_file, "--passphrase-file") if protected else None
    reach = reach_of(invited.subject.role, place) if server else {}
    member = run_client(
        lambda reactor: join(reactor, invited, place, wait, **reach, tell=say, passphrase=passphrase)
    )
    if as_json:
        print_json({"name": member.name.uri(), "cluster": member.cluster, "folder": place})
        return
    _tell(member, place)


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"--set {each}: write NAME=VALUE")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def _write_config(invited: Invitation, folder: Path, given: Mapping[str, Any]) -> None:
    from rjs.config import CONFIG_NAME, read_config, write_config
    from rjs.state import make_state_folder

    make_state_folder(folder)
    if not (folder / CONFIG_NAME).exists():
        try:
            write_config(role_entry(f"{invited.subject.role}.settings"), folder, given)
        except ConfigError as error:
            raise UsageError(f"--set: {error}") from error
        return
    if not given:
        return
    there = read_config(role_entry(f"{invited.subject.role}.settings"), folder)
    if any(
        getattr(there, name, None) != value for name, value in given.items()
    ):  # else: the same command again
        raise click.UsageError(f"{folder / CONFIG_NAME} exists already; edit it there")


def _tell(member: Member, folder: Path) -> None:
    from rjs.identity.names import Role
    from rjs.state import cluster_folder

    say(f"joined cluster {member.cluster} as {member.name.uri()} ({member.common_name})")
    if member.name.role is Role.USER:
        identity = cluster_folder(folder, member.cluster) / "identity"
        say(
            f"next: the operator certifies your signing key: rjs ca issue CADIR {identity / 'signing-request.pem'}"
        )
        say(f"the signing.pem that this makes belongs into {identity}; owners who trust it run:")
        say(f"  rjs trust add {identity / 'signing.pem'} --cs DIR")
    elif member.name.role in (Role.LUS, Role.CS):
        say(f"next: rjs {member.name.role} run {folder}")
