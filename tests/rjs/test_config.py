"""The commented file of a server's settings, and its reader that names every fault."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.config import CONFIG_NAME, config_text, person_folder, read_config, write_config
from rjs.errors import ConfigError
from rjs.limits import CONFIG_FILE


class Settings(msgspec.Struct, frozen=True):
    """Settings of a server in tests.

    They take effect at its next start.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, description="What people call it.")]
    port: Annotated[int, msgspec.Meta(ge=0, le=65535, description="Where it listens.\n0 takes any.")] = 9001
    groups: Annotated[list[str], msgspec.Meta(description="Who may.")] = []
    slow: bool = False


def test_the_file_states_every_setting_and_its_default(tmp_path: Path) -> None:
    """What was given is set, the rest is there as a comment with its description, and it reads back."""
    path = write_config(Settings, tmp_path, {"name": "lab"})
    assert path.read_text() == (
        "# Settings of a server in tests.\n#\n# They take effect at its next start.\n"
        '\n# What people call it.\nname = "lab"\n'
        "\n# Where it listens.\n# 0 takes any.\n# port = 9001\n"
        "\n# Who may.\n# groups = []\n"
        "\n# slow = false\n"
    )
    assert read_config(Settings, tmp_path) == Settings(name="lab")


@given(name=st.text(min_size=1), port=st.integers(0, 65535), groups=st.lists(st.text()), slow=st.booleans())
def test_every_value_survives(name: str, port: int, groups: list[str], slow: bool) -> None:
    """Whatever text, it is quoted such that TOML gives it back."""
    given: dict[str, bool | int | float | str | list[str]] = {
        "name": name,
        "port": port,
        "groups": groups,
        "slow": slow,
    }
    try:
        "".join([name, *groups]).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no TOML form
    assert tomllib.loads(config_text(Settings, given)) == given


def test_a_person_gets_all_faults_at_once(tmp_path: Path) -> None:
    """An unknown setting, a wrong type, a value out of range and a missing one, each by name, with the file's."""
    (tmp_path / CONFIG_NAME).write_text('prot = 1\nport = 70000\nslow = "yes"\n')
    with pytest.raises(ConfigError) as refused:
        read_config(Settings, tmp_path)
    lines = str(refused.value).splitlines()
    assert str(tmp_path / CONFIG_NAME) in lines[0]
    assert "prot: no such setting; did you mean port?" in lines
    assert [line.partition(":")[0] for line in lines[1:]] == ["prot", "name", "port", "slow"]


def test_one_of_a_few_texts_is_named(tmp_path: Path) -> None:
    """Who wrote another word reads which ones count."""

    class Accepting(msgspec.Struct, frozen=True):
        unconfined: Annotated[Literal["", "i accept"], msgspec.Meta(description="May it?")] = ""

    (tmp_path / CONFIG_NAME).write_text('unconfined = "yes"\n')
    with pytest.raises(ConfigError, match=r'unconfined: .*; write "i accept"'):
        read_config(Accepting, tmp_path)


def test_what_a_person_edited_is_never_replaced(tmp_path: Path) -> None:
    """A second init stops; nothing wrong is written in the first place."""
    write_config(Settings, tmp_path, {"name": "lab"})
    with pytest.raises(FileExistsError):
        write_config(Settings, tmp_path, {"name": "other"})
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError):
        write_config(Settings, tmp_path / "new", {"name": "lab", "port": -1})
    assert not (tmp_path / "new" / CONFIG_NAME).exists()


@pytest.mark.parametrize("content", [b"name = ", b"name = '\xff'", b"#" * (CONFIG_FILE + 1)])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken TOML, no UTF-8 and a huge file each end in a sentence."""
    (tmp_path / CONFIG_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=CONFIG_NAME):
        read_config(Settings, tmp_path)


def test_a_missing_file_asks_whether_it_is_the_right_folder(tmp_path: Path) -> None:
    """The wrong folder is the usual mistake."""
    with pytest.raises(ConfigError, match="state folder"):
        read_config(Settings, tmp_path)


def test_a_person_has_a_folder_of_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is chosen."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert person_folder(None).name == "rjs"
    assert person_folder(tmp_path / "x") == tmp_path / "x"
