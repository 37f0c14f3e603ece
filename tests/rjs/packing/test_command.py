"""``rjs pack`` as people and programs use it: what it takes and why, on stderr and as JSON, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rjs.cli import main
from rjs.cli.gathering import LINES_SHOWN

WriteFiles = Callable[[Mapping[str, str]], Path]
Pack = Callable[..., tuple[int, str, str]]

FILES = {
    "run.py": "import lib.a\ndef f():\n    import nix\n",
    "lib/__init__.py": "",
    "lib/a.py": "",
    "lib/b.py": "",
    "data/a.csv": "1,2\n",
    "data/b.csv": "3,4\n",
}
TOML = 'name = "x"\nruntime = "python"\nentry = "run.py"\n'


@pytest.fixture
def pack(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pack:
    """Pack without signing: exit status, stdout, stderr."""
    monkeypatch.delenv("RJS_DEBUG", raising=False)

    def run(path: Path, *options: str) -> tuple[int, str, str]:
        status = main(["pack", str(path), "--unsigned", "-o", str(tmp_path / "x.jar"), *options])
        return (status, *capsys.readouterr())

    return run


def test_a_script_is_told_with_every_file_and_its_reason(
    pack: Pack, write_files: WriteFiles, tmp_path: Path
) -> None:
    """One line a reason, warnings before it, and nothing on stdout where nothing was signed."""
    status, out, err = pack(write_files(FILES) / "run.py", "--include", "data")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "warning: run.py:3: nix is on no compute server; a task that imports it here fails",
        f"{tmp_path / 'x.jar'}: 6 files, 104 bytes, 1 task",
        "  included by data       data/a.csv, data/b.csv",
        "  made for the job       job.toml",
        "  reached from run.py:1  lib/__init__.py, lib/a.py",
        "  the entry              run.py",
    ]


def test_json_names_every_file_with_its_reason(pack: Pack, write_files: WriteFiles) -> None:
    """The same for programs, on stdout; the warnings stand on stderr too."""
    folder = write_files({**FILES, "job.toml": TOML})
    status, out, err = pack(folder, "--reached-only", "--include", "data/a.*", "--json")
    said = json.loads(out)
    assert status == 0
    assert err.startswith("warning: run.py:3: nix")
    assert said["warnings"] == [err.removeprefix("warning: ").strip()]
    assert {file["name"]: file["why"] for file in said["files"]} == {
        "data/a.csv": "included by data/a.*",
        "job.toml": "the descriptor",
        "lib/__init__.py": "reached from run.py:1",
        "lib/a.py": "reached from run.py:1",
        "run.py": "the entry",
    }
    assert said["files"][0] == {
        "name": "data/a.csv", "size": 4, "executable": False, "why": "included by data/a.*",
    }  # fmt: skip
    assert said["left_out"] == ["data/b.csv", "lib/b.py"]
    assert said["id"] is None


def test_refusals_are_told_at_once_and_make_no_bundle(
    pack: Pack, write_files: WriteFiles, tmp_path: Path
) -> None:
    """Status 1, every fault a line, and no file; what the submitter allows is no fault."""
    folder = write_files({"run.py": "import nix\nimport broken\n", "broken.py": "def f(:\n"})
    status, out, err = pack(folder / "run.py", "--include", "*.csv")
    assert (status, out) == (1, "")
    assert err.startswith("refused: pack: ")
    assert err.count("\n") == 4
    assert not (tmp_path / "x.jar").exists()
    (folder / "broken.py").write_text("")
    assert pack(folder / "run.py", "--allow-missing", "nix")[0] == 0


def test_a_pattern_for_a_whole_folder_is_wrong_usage(pack: Pack, write_files: WriteFiles) -> None:
    """It would add nothing: status 2 and what to do."""
    status, _, err = pack(write_files({**FILES, "job.toml": TOML}), "--include", "*.csv")
    assert status == 2
    assert "--reached-only" in err


def test_long_lists_are_cut_for_people_and_whole_for_programs(pack: Pack, write_files: WriteFiles) -> None:
    """Hundreds of modules and warnings do not scroll away what matters, and are counted."""
    lines = [f"import m{number}" for number in range(100)] + [f"exec({number})" for number in range(100)]
    files = {"run.py": "\n".join(lines), **{f"m{number}.py": "" for number in range(100)}}
    script = write_files(files) / "run.py"
    _, _, err = pack(script)
    assert err.count("\n  ") == LINES_SHOWN + 1
    assert f"  and {102 - LINES_SHOWN} more files; --json names all" in err
    assert f"and {100 - LINES_SHOWN} more warnings; --json lists all" in err
    said = json.loads(pack(script, "--json")[1])
    assert (len(said["files"]), len(said["warnings"])) == (102, 100)
