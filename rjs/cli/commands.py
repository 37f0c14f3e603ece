"""The table of commands: name → where it is and its summary. Help reads this table and imports no command.

To add a command, write its file with a ``click`` command in it and add its row here. The summary repeats the
first sentence of the command's docstring; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Leaf(NamedTuple):
    """A command: ``module:attribute`` of its click command, and one sentence about it."""

    location: str
    summary: str


class Branch(NamedTuple):
    """A group of commands: one sentence about it, and its own table."""

    summary: str
    table: Mapping[str, Leaf]


CA: Final = {
    "init": Leaf("rjs.cli.ca:init", "Make an operator's folder with a new organisation root."),
    "invite": Leaf("rjs.cli.ca:invite", "Write invitations, each one line and good for one use."),
    "issue": Leaf(
        "rjs.cli.ca:issue", "Certify a person's signing or encryption key, or a web server for another year."
    ),
    "passphrase": Leaf(
        "rjs.cli.ca:passphrase", "Change the passphrase of the operator's keys, set one, or take it off."
    ),
    "accept": Leaf(
        "rjs.cli.ca_accept:accept", "Accept another CA: who holds a certificate of it becomes a user."
    ),
    "withdraw": Leaf("rjs.cli.ca_accept:withdraw", "Accept another CA no more."),
    "accepted": Leaf("rjs.cli.ca_accept:accepted", "List the other CAs that are accepted."),
    "list": Leaf("rjs.cli.ca:list_issued", "List what `rjs ca` has issued from this folder."),
}

WS: Final = {
    "init": Leaf("rjs.cli.ws:init", "Found a web server in a new state folder."),
    "run": Leaf("rjs.cli.ws:run", "Run the web server until it is told to stop."),
    "status": Leaf("rjs.cli.ws_status:status", "Show what this web server holds, and what to do next."),
    "backup": Leaf("rjs.cli.ws_backup:backup", "Write all that the web server must not lose to FILE."),
    "restore": Leaf("rjs.cli.ws_backup:restore", "Make DIR the web server that the backup FILE is of."),
    "revoke": Leaf("rjs.cli.ws_revoke:revoke", "Revoke a member, a signer or a certificate."),
    "revoked": Leaf("rjs.cli.ws_revoke:revoked", "List what is revoked."),
    "accept": Leaf("rjs.cli.ws_certify:accept", "Go by the operator's statement of accepted CAs."),
    "request": Leaf(
        "rjs.cli.ws_certify:request", "Ask to be certified again: the token intermediate and the record key."
    ),
    "certify": Leaf(
        "rjs.cli.ws_certify:certify", "Issue by the certificates that the operator made of a request."
    ),
    "renew": Leaf(
        "rjs.cli.ws_certify:renew",
        "Certify the web server for another year: request, issue and certify in one.",
    ),
}

LUS: Final = {
    "run": Leaf("rjs.cli.lus:run", "Run the lookup server until it is told to stop."),
    "status": Leaf("rjs.cli.lus:status", "Show the compute servers that this lookup server knows."),
}

CS: Final = {
    "run": Leaf("rjs.cli.cs:run", "Run the compute server until it is told to stop."),
    "status": Leaf("rjs.cli.cs:status", "Show what this compute server is doing."),
}

TRUST: Final = {
    "list": Leaf("rjs.cli.trust:list_grants", "List the signers that this machine's owner trusts."),
    "add": Leaf("rjs.cli.trust:add", "Trust a signer: its bundles may run on this machine."),
    "remove": Leaf("rjs.cli.trust:remove", "Take the trust in a signer back."),
}

CERT: Final = {
    "list": Leaf("rjs.cli.cert:list_held", "List your certificates, or a server's, and when they end."),
    "show": Leaf("rjs.cli.cert:show", "Show one certificate in full."),
    "add": Leaf("rjs.cli.cert_add:command", "Have your account list another signing key."),
    "renew": Leaf("rjs.cli.cert:renew", "Renew a token certificate now."),
    "request": Leaf(
        "rjs.cli.own_keys:request", "Make a request for a certificate of your signing or encryption key."
    ),
    "passphrase": Leaf(
        "rjs.cli.own_keys:passphrase", "Change the passphrase of your own keys, set one, or take it off."
    ),
}

COMMANDS: Final[Mapping[str, Leaf | Branch]] = {
    "demo": Leaf("rjs.cli.demo:command", "Run a whole cluster on this machine and draw a picture with it."),
    "submit": Leaf("rjs.cli.submit:command", "Send a job to the cluster."),
    "status": Leaf("rjs.cli.status:command", "Show your jobs, or one job with its tasks."),
    "why": Leaf("rjs.cli.why:command", "Say why a job stands as it does, and what would change it."),
    "cancel": Leaf("rjs.cli.cancel:command", "End what has not ended of a job."),
    "revoke": Leaf("rjs.cli.revoke:command", "Revoke a member, a signer or a certificate, as an admin."),
    "join": Leaf("rjs.cli.join:command", "Become a member of a cluster by an invitation."),
    "present": Leaf(
        "rjs.cli.present:command", "Become a user by a certificate of another CA that the operator accepts."
    ),
    "ca": Branch("Keep the organisation root: invite members, certify signing keys.", CA),
    "ws": Branch("Found and run the web server.", WS),
    "lus": Branch("Run a lookup server.", LUS),
    "cs": Branch("Run a compute server on this machine.", CS),
    "pack": Leaf(
        "rjs.cli.pack:command", "Make a signed bundle from a folder, a script, classes or executables."
    ),
    "sign": Leaf("rjs.cli.sign:command", "Sign a JAR that exists."),
    "verify": Leaf("rjs.cli.verify:command", "Judge the signature of a bundle, an answer or any signed JAR."),
    "inspect": Leaf(
        "rjs.cli.inspect:command", "Show what a bundle, an answer or any other signed JAR holds."
    ),
    "open": Leaf("rjs.cli.open:command", "Verify, decrypt and unpack an answer."),
    "trust": Branch("Say whose bundles may run on this machine.", TRUST),
    "cert": Branch("Look at certificates and renew them, and protect your keys.", CERT),
    "doctor": Leaf("rjs.cli.doctor:command", "Say what is wrong here, and what mends it."),
    "benchmark": Leaf("rjs.cli.benchmark:command", "Measure this machine's speed with Linpack."),
    "completion": Leaf("rjs.cli.completion:command", "Print the script that completes rjs in your shell."),
}
