"""``rjs ws status``: everything that its operator must know, in lines that line up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rjs.doctor.rules.servers import judge_server

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

DOCUMENT: dict[str, Any] = {
    "role": "ws", "boot": "b", "port": 9000, "lus": ["lus-1"], "accounts": 2, "jobs": 3,
    "job_states": {"running": 1, "done": 2},
    "certificate": {"until": "2036-01-02T00:00:00+00:00", "seconds_left": 86400 * 2, "then": "it renews itself",
                    "trouble": ""},
    "authority": {"issues": True, "trouble": "", "user": "rjs", "until": "2036-06-01T00:00:00+00:00",
                  "separation": "its keys are out of reach"},
    "mandates": {"warnings": []},
    "revocations": {"number": 4, "entries": 1, "until": "2036-01-09T00:00:00+00:00", "stale": False},
    "clock": {"ahead": {}, "trouble": ""}, "disk": {"fault": "", "sentence": "", "free": 5 << 30},
    "live": [{"job": "ab" * 32, "name": "\x1b[31msums", "user": "ada", "state": "running", "tasks": 3,
              "waiting": 1, "committed": 2}],
}  # fmt: skip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the web server says when it is asked."""
    document: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    monkeypatch.setattr("rjs.cli.ws_status.status_of", lambda role, folder: document)
    return document


def test_all_that_matters_is_a_line(rjs: Rjs, tmp_path: Path, told: dict[str, Any]) -> None:
    """Each fact has its line, jobs a table that lines up, and nothing acts on the terminal."""
    said = rjs("ws", "status", tmp_path)
    assert said.status == 0, said.err
    facts = {line[:16].strip(): line[16:] for line in said.out.splitlines()[1:11]}
    assert facts["lookup servers"] == "lus-1" and facts["jobs"] == "2 done, 1 running"
    assert facts["authority"].startswith("issues as the account rjs; ends in ")
    assert facts["its separation"] == "its keys are out of reach" and facts["disk"] == "5,120 MiB are free"
    assert facts["revoked"].startswith("1 entry in list 4, ends in ")
    heading, job = said.out.splitlines()[12:14]
    assert job[heading.index("STATE") :].split() == ["running", "3", "1", "0", "2", "0", "-"]
    assert "\x1b" not in said.out and "\\x1b[31msums" in job
    assert said.out.splitlines()[-1] == "nothing is to be done; rjs doctor DIR looks at more"
    assert json.loads(rjs("ws", "status", tmp_path, "--json").out) == told


def test_what_is_wrong_says_what_mends_it(rjs: Rjs, tmp_path: Path, told: dict[str, Any]) -> None:
    """Everything that the doctor's rules find in the document stands at the end, with the remedy."""
    told |= {"lus": [], "live": [], "job_states": {}}
    told["authority"] |= {"issues": False, "trouble": "no key", "until": None, "separation": ""}
    told["disk"] |= {"fault": "disk-low", "sentence": "3 bytes are free"}
    told["revocations"] |= {"number": 0, "entries": 0, "until": None, "stale": True}
    said = rjs("ws", "status", tmp_path).out
    wrong = [each for each in judge_server("ws", told, "") if each.code]
    assert {each.code for each in wrong} == {"server-lacks-disk", "authority-dead", "no-lus"}
    assert all(each.sentence in said and each.remedy in said for each in wrong)
    assert "issues nothing: no key" in said and "none is connected" in said
