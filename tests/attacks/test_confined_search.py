"""A job that reads every file that it can open, in search of a key or of anything that its compute server keeps."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SEARCH = """
import base64, json, os, stat, sys

sought = [base64.b64decode(each)[::-1] for each in json.load(open(sys.argv[1]))]
planted = b"-----BEGIN PRIVATE" + b" KEY----- " + sought[0]
with open(os.path.join(os.environ["TMPDIR"], "planted"), "wb") as file:
    file.write(planted)

def readable(top):
    for folder, folders, names in os.walk(top):
        # of processes only our own, and of it nothing that is memory, or waits for its other end
        if folder == "/proc":
            folders[:] = [each for each in folders if not each.isdigit() or each == str(os.getpid())]
        for name in names:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.stat(path).st_mode) and name not in ("mem", "kmsg", "pagemap", "clear_refs"):
                    yield path
            except OSError:
                continue

read, size, found = 0, 0, {}
for path in readable(sys.argv[2]):
    try:
        with open(path, "rb", 0) as file:
            content = file.read(LARGEST)
    except OSError:
        continue
    read, size = read + 1, size + len(content)
    for number, each in enumerate(sought):
        if each in content:
            found.setdefault(path, []).append(number)
text = json.dumps({"read": read, "size": size, "found": found})
open(os.path.join(os.environ["RJS_OUTPUT"], "found.json"), "w").write(text)
""".replace("LARGEST", str(1 << 18))


def secrets_of(cluster: Cluster) -> list[bytes]:
    """A piece of every private key that any server, person or operator has, and of what a server keeps beside."""
    found = []
    for path in sorted(cluster.folder.rglob("*")):
        if path.is_file() and b"PRIVATE KEY-----" in (content := path.read_bytes()):
            found.append(content.splitlines()[1][:44])
    state = cluster["cs1"].folder
    (state / "clusters" / "note").write_bytes(b"what only the compute server's owner knows: 41c6fe")
    (cluster.folder / "letter").write_bytes(b"a letter in the owner's home 9e2b77")
    return [
        b"what the job itself plants",
        b"what only the compute server's owner knows",
        b"letter in the owner's home",
        *found,
    ]


def job(folder: Path, secrets: Sequence[bytes], top: str) -> Path:
    """The search, whose own files hold no secret but backwards and in base64."""
    folder.mkdir()
    (folder / "run.py").write_text(SEARCH)
    backwards = [base64.b64encode(each[::-1]).decode() for each in secrets]
    (folder / "sought.json").write_text(json.dumps(backwards))
    (folder / "job.toml").write_text(
        f'name = "search"\nruntime = "python"\nentry = "run.py"\nargs = ["sought.json", "{top}"]\n'
        '[needs]\nmemory = "256 MiB"\nwall_time = "10 min"\n'
    )
    return folder


def found_by(cluster: Cluster, folder: Path) -> tuple[int, dict[str, list[int]]]:
    """How many files it read, and what it found where."""
    answer = cluster.ada.answers(cluster.ada.place(cluster.ada.pack(folder)), 1, within=300)[0]
    told = json.loads(answer.files["out/found.json"])
    return told["read"], told["found"]


def test_every_readable_file_finds_no_key(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """Of thousands of files that a confined job can open none holds any key, anything of its compute server's state
    folder, or of the home that this is in; what it plants itself it finds, and an unconfined one finds it all."""
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"], confined=True) as cluster:
        secrets = secrets_of(cluster)
        assert len(secrets) > 8, "keys of servers, people and the operator"
        read, found = found_by(cluster, job(tmp_path / "confined", secrets, "/"))
        assert read > 5000
        assert found == {"/work/tmp/planted": [0]}
        unconfined = "\n".join(
            ['sandbox = "none"', 'unconfined = "i accept"', 'interfaces = ["127.0.0.1"]', "port = 0"]
        )
        cluster["cs1"].stop()
        (cluster["cs1"].folder / "config.toml").write_text(unconfined + '\nlisten = "127.0.0.1"\n')
        cluster["cs1"].start()
        _, found = found_by(cluster, job(tmp_path / "unconfined", secrets, str(cluster.folder)))
        assert {number for numbers in found.values() for number in numbers} == set(range(len(secrets)))
