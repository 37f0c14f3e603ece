"""What goes into a bundle: the options that ``pack`` and ``submit`` share, and which kind of PATH takes which."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

if TYPE_CHECKING:
    from rjs.needs import Platform

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


class PlatformFile(click.ParamType["tuple[Platform, Path]"]):
    """``linux-x86_64=PATH``: an executable and the platform that it is for."""

    name = "platform=path"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Platform, Path]:
        platform, equals, path = str(value).partition("=")
        if not equals or not Path(path).is_file():
            self.fail(f"{value!r} is not PLATFORM=FILE, such as linux-x86_64=build/simulate", param, ctx)
        return _platform(platform), Path(path)


class PlatformName(click.ParamType["Platform"]):
    """``linux-x86_64`` and the like."""

    name = "platform"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Platform:
        return _platform(str(value))


def _platform(text: str) -> Platform:
    from rjs.needs import parse_platform

    return parse_platform(text)


@attrs.frozen
class Packing:
    """What was said about the contents; a field is empty or None where nothing was."""

    tasks: int | None
    name: str | None
    include: tuple[str, ...]
    reached_only: bool
    allow_missing: tuple[str, ...]
    encrypt: bool
    encrypt_for: tuple[Path, ...]
    requirement: tuple[str, ...]
    platform: tuple[Platform, ...]
    python: str | None
    find_links: Path | None
    index_url: str | None
    entry_point: bool
    main_class: str | None
    class_path: tuple[Path, ...]
    native: tuple[tuple[Platform, Path], ...]

    @property
    def given(self) -> list[str]:
        """The fields that somebody gave, in the order of the help."""
        return [field.name for field in attrs.fields(Packing) if getattr(self, field.name)]

    def require_only(self, allowed: frozenset[str], what: str) -> None:
        """Raise click.UsageError for an option that ``what`` does not take."""
        if wrong := [name for name in self.given if name not in allowed]:
            raise click.UsageError(f"--{wrong[0].replace('_', '-')} is not for {what}")


_OPTIONS: Final = (
    click.option("--tasks", type=click.IntRange(1), help="Tasks [1]; a folder says it in its job.toml."),
    click.option("--name", help="Name of the job [PATH's]; a folder says it in its job.toml."),
    click.option("--include", multiple=True, metavar="GLOB",
                 help="Take these files too, such as 'data/**/*.csv'; of a folder with --reached-only."),
    click.option("--reached-only", is_flag=True, help="Of a folder, only what its entry imports [all of it]."),
    click.option("--allow-missing", multiple=True, metavar="MODULE",
                 help="Let the job use a module, class or Java package that is not there."),
    click.option("--encrypt", is_flag=True, help="Seal the answers, for yourself: rjs open opens them."),
    click.option("--encrypt-for", multiple=True, type=_file, metavar="PEM",
                 help="Seal the answers for the holder of this certificate too, or alone."),
    click.option("-r", "--requirement", multiple=True, metavar="SPEC|FILE",
                 help="Python: a package to take along, such as 'numpy>=2', or a file of them."),
    click.option("--platform", multiple=True, type=PlatformName(), metavar="PLATFORM",
                 help="Python: take wheels for it, such as linux-x86_64 [this machine's]."),
    click.option("--python", metavar="VERSION", help="Python: take wheels for these, such as 3.11,3.12 [this one]."),
    click.option("--find-links", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
                 help="Python: a folder of wheels to take them from."),
    click.option("--index-url", metavar="URL", help="Python: the package index to take them from."),
    click.option("--entry-point", is_flag=True, help="Python: PATH is a command of an installed package."),
    click.option("--main-class", metavar="CLASS", help="Java: what to run [the manifest's Main-Class]."),
    click.option("--class-path", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
                 help="Java: a further folder of classes or JAR; only what is reached is taken."),
    click.option("--native", multiple=True, type=PlatformFile(), metavar="PLATFORM=FILE",
                 help="An executable, and the platform that it is for."),
)  # fmt: skip


def packing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; its function receives them as ``packing``."""

    @functools.wraps(function)
    def collected(**given: Any) -> Any:
        packing = Packing(**{field.name: given.pop(field.name) for field in attrs.fields(Packing)})
        return function(packing=packing, **given)

    command: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
