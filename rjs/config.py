"""Where a person's own folder is, and how a server's ``config.toml`` is written and read.

A server states its settings once, as a frozen ``msgspec.Struct`` whose fields carry a default and, in a
``msgspec.Meta``, bounds and a description. From that one statement come the commented file of a new folder
and the reader that refuses what it does not know, naming every fault at once.
"""

from __future__ import annotations

import difflib
import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import platformdirs

from rjs.errors import ConfigError, RefusedError
from rjs.files import read_small
from rjs.limits import CONFIG_FILE
from rjs.toml_text import toml_value

CONFIG_NAME = "config.toml"
"""The file with a server's settings, in its state folder."""

Settings = TypeVar("Settings", bound=msgspec.Struct)
Setting = bool | int | float | str | list[str]


def person_folder(chosen: Path | None) -> Path:
    """Give the folder of a person's certificates, keys and known servers; it need not exist yet."""
    return chosen if chosen is not None else Path(platformdirs.user_config_dir("rjs", appauthor=False))


def write_config(kind: type[Settings], folder: Path, given: Mapping[str, Setting]) -> Path:
    """Write the commented ``config.toml`` of a new state folder: every setting, with ``given`` set.

    A default stands as a comment, so a later release may improve it. Raises FileExistsError rather than
    replace what a person may have edited, and ConfigError where ``given`` does not fit ``kind``.
    """
    _convert(kind, given, str(folder / CONFIG_NAME))
    path = folder / CONFIG_NAME
    with path.open("x", encoding="utf-8") as file:
        file.write(config_text(kind, given))
    return path


def config_text(kind: type[Settings], given: Mapping[str, Setting]) -> str:
    """Render ``kind`` as TOML: description, then ``name = value``, commented out where it is the default."""
    return "\n".join(_setting_lines(kind, given))


def _setting_lines(kind: type[Settings], given: Mapping[str, Setting]) -> list[str]:
    lines = [f"# {line}" for line in inspect.cleandoc(kind.__doc__ or "").splitlines()]
    for field in msgspec.structs.fields(kind):
        lines += ["", *(f"# {line}" for line in _description(kind, field.name).splitlines())]
        if field.name in given:
            lines.append(f"{field.name} = {toml_value(given[field.name])}")
        else:
            lines.append(f"# {field.name} = {toml_value(_default(field))}")
    return [*(line.rstrip() for line in lines), ""]


def _description(kind: type[msgspec.Struct], name: str) -> str:
    hint = get_type_hints(kind, include_extras=True)[name]
    notes = [meta.description for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return next((note for note in notes if note), "")


def _default(field: msgspec.structs.FieldInfo) -> Setting:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()  # type: ignore[no-any-return]  # msgspec types factories loosely
    if field.default is msgspec.NODEFAULT:
        raise ConfigError(f"setting {field.name} has no default and was not given")
    return field.default  # type: ignore[no-any-return]  # msgspec types defaults loosely


def read_config(kind: type[Settings], folder: Path) -> Settings:
    """Read ``config.toml`` of a state folder. Raises ConfigError that names file, every fault, and remedy."""
    path = folder / CONFIG_NAME
    try:
        table = tomllib.loads(read_small(path, CONFIG_FILE).decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; is this a server's state folder?") from error
    except RefusedError as error:
        raise ConfigError(f"{error.sentence}; this is not a configuration") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _convert(kind, table, str(path))


def _convert(kind: type[Settings], table: Mapping[str, Any], place: str) -> Settings:
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = [_unknown(name, list(known)) for name in table if name not in known]
    values = {}
    for name, field in known.items():
        if name not in table:
            if field.required:
                faults.append(f"{name}: must be set")
            continue
        try:
            values[name] = msgspec.convert(table[name], field.type)
        except msgspec.ValidationError as error:
            faults.append(f"{name}: {error}{_choices(field.type)}")
    if faults:
        raise ConfigError("\n".join([f"{place}: {len(faults)} to mend", *faults]))
    return kind(**values)


def _choices(kind: Any) -> str:
    """What may be written where a setting is one of a few texts."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    texts = [toml_value(each) for each in get_args(plain) if each] if get_origin(plain) is Literal else []
    return f"; write {' or '.join(texts)}" if texts else ""


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "; remove it")
