"""Java jobs of classes that the real ``javac`` made, found by the real ``jdeps``, run by the real ``java``."""

from __future__ import annotations

import os
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jdk import run

from rjs.errors import RefusedError
from rjs.packing import JobFiles, PackingError, write_unsigned
from rjs.packing.java import gather_java
from rjs.packing.jdeps import find_jdeps

pytestmark = pytest.mark.integration

SOURCES = {
    "app/Main.java": """
        package app;
        public class Main {
            interface Inner {}
            public static void main(String[] args) throws Exception {
                lib.Used[] used = { new lib.Used() };
                Runnable lambda = () -> System.out.println(lib.Constants.text());
                lambda.run();
                if (args.length > 0) Class.forName("lib.Reflected").getDeclaredConstructor().newInstance();
                for (lib.Service service : java.util.ServiceLoader.load(lib.Service.class)) service.run();
                if (args.length > 1) System.out.println(Main.class.getResource("/lib/data.txt"));
            }
        }""",
    "lib/Used.java": "package lib; public class Used extends Base { Used[] more; }",
    "lib/Base.java": "package lib; class Base {}",
    "lib/Constants.java": 'package lib; public class Constants { public static String text() { return "hello"; } }',
    "lib/Reflected.java": "package lib; public class Reflected { { System.out.println(new Deep()); } }",
    "lib/Deep.java": 'package lib; class Deep { public String toString() { return "deep"; } }',
    "lib/Service.java": "package lib; public interface Service extends Runnable {}",
    "lib/Provider.java": """
        package lib;
        public class Provider implements Service { public void run() { System.out.println("provided"); } }""",
    "lib/Unused.java": "package lib; public class Unused {}",
}
SERVICE = "META-INF/services/lib.Service"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all classes, with a resource and a service."""
    folder = tmp_path_factory.mktemp("java")
    for name, text in SOURCES.items():
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "src" / name).write_text(text)
    run("javac", "--release", "11", "-d", folder / "classes", *(folder / "src" / name for name in SOURCES))
    (folder / "classes/lib/data.txt").write_text("data")
    (folder / "classes" / SERVICE).parent.mkdir(parents=True)
    (folder / "classes" / SERVICE).write_text("# of ours\nlib.Provider # the only one\n")
    return folder / "classes"


@pytest.fixture
def jars(compiled: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The same as the JAR of the program and that of its library."""
    app, lib = tmp_path / "app.jar", tmp_path / "lib.jar"
    run("jar", "-c", "-f", app, "-e", "app.Main", "-C", compiled, "app")
    run("jar", "-c", "-f", lib, "-C", compiled, "lib", "-C", compiled, "META-INF")
    return app, lib


def packed(
    path: Path, *class_path: Path, main_class: str | None = None, include: tuple[str, ...] = ()
) -> JobFiles:
    return gather_java(
        path, jdeps=find_jdeps(os.environ), class_path=class_path, main_class=main_class, include=include
    )


def names(files: JobFiles) -> set[str]:
    return {file.name for file in files.files} - {"job.toml"}


REACHED = {
    "app/Main.class",
    "app/Main$Inner.class",
    "lib/Used.class",
    "lib/Base.class",
    "lib/Constants.class",
    "lib/Service.class",
}


def test_only_what_the_main_class_reaches_is_taken_and_runs(
    compiled: Path, jars: tuple[Path, Path], tmp_path: Path
) -> None:
    """From a folder or from JARs it is the same, and Java finds everything that it asks for in the bundle."""
    of_folder = packed(compiled, main_class="app.Main")
    of_jars = packed(jars[0], jars[1])
    assert names(of_folder) == names(of_jars) == REACHED
    assert [b"".join(each.chunks()) for each in of_folder.files if each.name != "job.toml"] == [
        b"".join(each.chunks()) for each in of_jars.files if each.name != "job.toml"
    ]
    assert of_jars.descriptor.entry == "app.Main"
    assert of_jars.descriptor.needs.java == ">=11"
    assert {each for each in of_jars.left_out if "Unused" in each} == {"lib.jar: lib/Unused.class"}
    out = tmp_path / "job.jar"
    write_unsigned(of_jars, out, now=datetime.now(UTC), nonce=bytes(16), valid=timedelta(days=1))
    assert run("java", "-cp", out, "app.Main") == "hello\n"


def test_what_cannot_be_seen_is_told_with_what_takes_it(compiled: Path, tmp_path: Path) -> None:
    """Classes by name, providers and resources are warned about; with the options that are named the job runs."""
    files = packed(compiled, main_class="app.Main")
    hints = [warning.partition("--include ")[2].partition(" ")[0] for warning in files.warnings]
    assert sorted(hints) == [SERVICE, "lib/Reflected.class", "lib/data.txt"]
    whole = packed(compiled, main_class="app.Main", include=tuple(hints))
    assert whole.warnings == ()
    assert names(whole) == REACHED | {
        SERVICE, "lib/Reflected.class", "lib/Deep.class", "lib/Provider.class", "lib/data.txt",
    }  # fmt: skip
    for file in whole.files:
        (tmp_path / "x" / file.name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / file.name).write_bytes(b"".join(file.chunks()))
    said = run("java", "-cp", tmp_path / "x", "app.Main", "a", "b").splitlines()
    assert said[:3] == ["hello", "deep", "provided"]
    assert said[3].endswith("lib/data.txt")


def test_a_missing_library_is_a_warning_that_can_be_answered(compiled: Path, jars: tuple[Path, Path]) -> None:
    """The program's JAR alone lacks its library; naming the package that it does without ends the warning."""
    warnings = packed(jars[0]).warnings
    assert len([each for each in warnings if "--class-path" in each]) == 1
    assert "app.Main uses lib.Constants and 2 more of lib" in warnings[0]
    quiet = gather_java(jars[0], jdeps=find_jdeps(os.environ), allow_missing=["lib"])
    assert [each for each in quiet.warnings if "--class-path" in each] == []


def test_providers_of_all_jars_come_together(compiled: Path, jars: tuple[Path, Path], tmp_path: Path) -> None:
    """Java reads a service's file in every JAR, so an included one holds what all of them say."""
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr(SERVICE, "lib.Absent")
    files = packed(jars[0], jars[1], other, include=(SERVICE,))
    content = next(file.content for file in files.files if file.name == SERVICE)
    assert content == b"# of ours\nlib.Provider # the only one\nlib.Absent\n"
    assert any("lib.Absent" in warning for warning in files.warnings)


def test_modules_and_classes_for_newer_java_do_not_confuse_it(
    compiled: Path, jars: tuple[Path, Path], tmp_path: Path
) -> None:
    """A modular JAR with versions of its own is packed like any other, by what every Java sees of it."""
    modular = tmp_path / "modular.jar"
    with zipfile.ZipFile(jars[1]) as source, zipfile.ZipFile(modular, "w") as archive:
        for entry in source.infolist():
            if not entry.is_dir() and entry.filename != "META-INF/MANIFEST.MF":
                archive.writestr(entry.filename, source.read(entry))
        manifest = "Manifest-Version: 1.0\nMulti-Release: true\nClass-Path: far.jar\n\n"
        archive.writestr("META-INF/MANIFEST.MF", manifest)
        archive.writestr("META-INF/versions/17/lib/Used.class", b"not looked at")
        archive.writestr("module-info.class", source.read("lib/Used.class"))
    files = packed(jars[0], modular)
    assert names(files) == REACHED
    assert any("far.jar" in warning for warning in files.warnings)
    assert "modular.jar: META-INF/versions/17/lib/Used.class" in files.left_out


@pytest.mark.parametrize(
    ("main_class", "include", "why"),
    [
        (None, (), "give --main-class"),
        ("app.Mein", (), "did you mean app.Main"),
        ("lib/Used", (), "there is no class"),
        ("app.Main", ("nothing/*",), "names no file of the class path"),
    ],
)
def test_what_cannot_be_packed_says_what_would_help(
    compiled: Path, main_class: str | None, include: tuple[str, ...], why: str
) -> None:
    """No main class, a wrong one, or a pattern of nothing."""
    with pytest.raises(PackingError, match=why):
        packed(compiled, main_class=main_class, include=include)


def test_a_class_that_cannot_be_read_is_none(compiled: Path, tmp_path: Path) -> None:
    """It is left out with a warning, and where it is the main class there is nothing to run."""
    shutil.copytree(compiled, tmp_path / "new")
    main = tmp_path / "new/app/Main.class"
    data = bytearray(main.read_bytes())
    data[10] = 99  # the first constant is of no kind that there is
    main.write_bytes(data)
    with pytest.raises(PackingError, match="there is no class"):
        packed(tmp_path / "new", main_class="app.Main")


def test_a_missing_tool_says_what_to_install(tmp_path: Path) -> None:
    """A Java runtime alone has no ``jdeps``; JAVA_HOME goes before PATH."""
    with pytest.raises(RefusedError, match="openjdk-17-jdk-headless") as refused:
        find_jdeps({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
    assert refused.value.code == "no-jdeps"
    tool = tmp_path / "bin/jdeps"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert find_jdeps({"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)}) == tool
