"""Job tokens in a real cluster: a job finds none; what it asks for is its own and lives as long as the job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, running_cluster, wait_for
from jobs import write_job

pytestmark = pytest.mark.integration

LIFETIME = 3

PRYING = """
import json, os, sys
from pathlib import Path

SIGNS = (b"PRIVATE " + b"KEY", b"BEGIN " + b"CERTIFICATE", b"rjs://" + b"cs/")

def read(path):
    try:
        return Path(path).read_bytes()[:1 << 20]
    except OSError:
        return b""

def links():
    for number in os.listdir("/proc/self/fd"):
        try:
            yield int(number), os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass

def hunted(when):
    places = [path for root, _, names in os.walk(Path(os.environ["HOME"]).parent)
              for path in (os.path.join(root, name) for name in names)]
    places += [f"/proc/self/{name}" for name in ("environ", "cmdline", "maps", "mounts", "status")]
    kinds = {number: link for number, link in links() if number > 2}
    return {
        "when": when, "environment": dict(os.environ), "arguments": sys.argv,
        "descriptors": kinds, "read": len(places),
        "found": [path for path in places if any(sign in read(path) for sign in SIGNS)],
        "modules": sorted({"cryptography", "OpenSSL", "msgspec"} & set(sys.modules)),
    }
"""

LONG = (
    PRYING
    + """
import time
from rjs import task

out = Path(os.environ["RJS_OUTPUT"])
(out / "before.json").write_text(json.dumps(hunted("before")))
task.progress(0.25, "the first quarter")
token = task.token()
assert token.name.startswith("rjs://job/") and f"/{task.index}/" in token.name
began, beats = time.monotonic(), 0
with task.door() as door:
    assert b"rjs" in door.read_input("run.py") and "job.toml" in door.inputs()
    while time.monotonic() < began + float(sys.argv[1]):
        beats += 1
        door.write_checkpoint("state", str(beats).encode())
        assert door.read_checkpoint("state") == str(beats).encode()
        time.sleep(0.1)
    door.write_output("deep/result.bin", b"x" * 600_000)
    try:
        door.write_output("../escape", b"x")
    except Exception as error:
        (out / "refused").write_text(error.code)
(out / "during.json").write_text(json.dumps({**hunted("during"), "modules": []}))
(out / "renewals").write_text(f"{token.renewals} {beats} {token.trouble}")
"""
)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("c")
    with running_cluster(folder, ["cs1"], ws_settings=[f"job_token_lifetime = {LIFETIME}"]) as made:
        yield made


def issued(cluster: Cluster) -> list[dict[str, Any]]:
    """The authority's log of jobs."""
    (log,) = (cluster["ws"].folder / "clusters").glob("*/identity/authority/issued.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "job"]


def test_a_job_three_times_as_long_as_its_tokens_life(cluster: Cluster, tmp_path: Path) -> None:
    """It finishes with its door open all along; it finds no key or token before or after it asked; its progress is
    seen meanwhile; and afterwards nothing of its door is left."""
    folder = write_job(tmp_path / "long", LONG, args=[str(3 * LIFETIME)], memory="256 MiB")
    job = cluster.ada.place(cluster.ada.pack(folder))
    name = next(each.name for each in cluster.ada.jobs.glob("*.status.txt"))
    wait_for(
        lambda: "task 0: 25%, the first quarter" in (cluster.ada.jobs / name).read_text(), story=cluster.story
    )
    (task,) = cluster.ada.status(job)["tasks"]
    assert (task["progress"], task["said"]) == (0.25, "the first quarter")
    assert "25%, the first quarter" in cluster.ada.rjs("status", job).stdout
    answer = cluster.ada.answers(job, 1)[0]
    before, during = (json.loads(answer.files[f"out/{name}.json"]) for name in ("before", "during"))
    assert before["found"] == during["found"] == [] and before["read"] > 5
    assert before["modules"] == [], "nothing is loaded that nobody asked for"
    assert list(before["descriptors"]) == ["3"] and before["descriptors"]["3"].startswith("socket:")
    assert not {"TOKEN", "KEY"} & {part for key in before["environment"] for part in key.split("_")}
    renewals, beats, *trouble = answer.files["out/renewals"].decode().split(" ", 2)
    assert int(renewals) >= 3 and int(beats) > 10 * LIFETIME and trouble == [""]
    assert (
        answer.files["out/deep/result.bin"] == b"x" * 600_000 and answer.files["out/refused"] == b"file-name"
    )
    lines = issued(cluster)
    assert len(lines) >= 4 and {line["name"].split("/")[3] for line in lines} == {job}
    (task,) = cluster.ada.wait_until(job, "done")["tasks"]
    assert task["progress"] is None and task["attempts"] == 0
    cluster.quiet()
    assert [path for path in (cluster["cs1"].folder / "doors").rglob("*") if not path.is_dir()] == []
