"""How Java jobs are started: by a real virtual machine, from folders of verified files, within their memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec
import pytest

from cs.java import Java
from cs.prepared import JarFolder, Prepared
from cs.runtimes import command_of
from cs.runtimes.java import memory_options
from cs.sandbox_choice import Walls
from cs.spawner.messages import Ended
from rjs.descriptor.model import Descriptor, JavaSettings, Permissions
from rjs.errors import RefusedError
from rjs.limits import JAVA_ROOM, MIB
from rjs.needs import Needs

Prepare = Callable[..., Prepared]
Run = Callable[[Prepared], tuple[Ended, str]]
Compile = Callable[..., dict[str, bytes]]

TELL = """
public class Tell {
    public static void main(String[] arguments) throws Exception {
        for (String name : new String[] {"user.home", "java.io.tmpdir", "user.dir", "java.awt.headless", "mine"})
            System.out.println(name + "=" + System.getProperty(name));
        System.out.println("version " + new Version());
        System.out.println(String.join("|", arguments) + " " + Runtime.getRuntime().availableProcessors());
        assert false : "asserted";
    }
}
"""
FILL = """
import java.util.ArrayList;

public class Fill {
    public static void main(String[] arguments) {
        ArrayList<byte[]> kept = new ArrayList<>();
        try {
            while (true) kept.add(new byte[100_000]);
        } catch (OutOfMemoryError error) {
            int count = kept.size();
            kept.clear();
            System.out.println("full " + count);
        }
    }
}
"""


def job(entry: str, memory: int = 128, cores: int = 1, **settings: tuple[object, ...]) -> Descriptor:
    needs = Needs(runtime="java", memory=memory * MIB, cores=cores)
    return Descriptor(name="j", runtime="java", entry=entry, needs=needs, java=JavaSettings(**settings))  # type: ignore[arg-type]  # as given


def version(text: str) -> str:
    return f'public class Version {{ public String toString() {{ return "{text}"; }} }}'


def test_a_job_of_several_jars(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, tmp_path: Path
) -> None:
    """Its classes, those of further JARs, its properties, options, arguments and folders; assertions as asked."""
    tell = compile_java({"Tell": TELL, "Version": version("main")})
    further = tmp_path / "jar 0"
    further.mkdir()
    (further / "Version.class").write_bytes(tell.pop("Version.class"))
    prepared = prepare(
        tell, job("Tell", cores=2, options=("-ea",), properties=(("mine", "a b:c"),)),
        java=java, arguments=("-version", "two words", "@none", ""), jars=(JarFolder(further),),
    )  # fmt: skip
    ended, said = run(prepared)
    place = prepared.workplace
    assert said.splitlines()[:7] == [
        f"user.home={place.job}", f"java.io.tmpdir={place.temporary}", f"user.dir={place.job}",
        "java.awt.headless=true", "mine=a b:c", "version main", "-version|two words|@none| 2",
    ]  # fmt: skip
    assert "AssertionError: asserted" in said
    assert ended.exit_status == 1


@pytest.mark.parametrize(("multi_release", "expected"), [("true", "11"), ("false", "base")])
def test_multi_release(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, multi_release: str, expected: str
) -> None:
    """Of the versions that a JAR has, the newest that this Java knows counts, if its manifest says so."""
    files = compile_java({"Tell": TELL, "Version": version("base")})
    for number in (9, 11, 99):
        made = compile_java({"Version": version(str(number))})
        files[f"META-INF/versions/{number}/Version.class"] = made["Version.class"]
    prepared = prepare(files, job("Tell"), java=java, attributes={"Multi-Release": multi_release})
    _, said = run(prepared)
    assert f"version {expected}\n" in said


def test_a_native_library(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, tmp_path: Path
) -> None:
    """It is found by name in the folder of a native JAR, and in no other."""
    load = """
public class Load {
    public static void main(String[] arguments) {
        System.loadLibrary(arguments[0]);
        System.out.println("ok");
    }
}"""
    folder = tmp_path / "native"
    folder.mkdir()
    (tmp_path / "n.c").write_text("int nothing;")
    subprocess.run(["cc", "-shared", "-o", folder / "libn.so", tmp_path / "n.c"], check=True, timeout=60)
    prepared = prepare(
        compile_java({"Load": load}), job("Load"), java=java, arguments=("n",), jars=(JarFolder(folder, native=True),)
    )  # fmt: skip
    ended, said = run(prepared)
    assert (ended.exit_status, said) == (0, "ok\n")
    assert str(folder) not in " ".join(command_of(prepared).argv), "relative: a path may hold the separator"


@pytest.mark.parametrize("options", [("-Xms64m",), ("-Xmx32m", "-Xms32m")])
def test_the_largest_initial_heap_starts(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, options: tuple[str, ...]
) -> None:
    """An -Xms of the whole heap is no more than a virtual machine takes; one that is larger is refused before."""
    files = compile_java({"Tell": TELL, "Version": version("x")})
    ended, said = run(prepare(files, job("Tell", 128, options=options), java=java))
    assert ended.exit_status == 0 and "version x" in said


@pytest.mark.parametrize("memory", [64, 128, 512])
def test_a_full_heap_is_within_the_memory(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, memory: int
) -> None:
    """A program that asks for more meets OutOfMemoryError, which it can handle, not the watchdog."""
    ended, said = run(prepare(compile_java({"Fill": FILL}), job("Fill", memory, cores=2), java=java))
    assert (ended.exit_status, ended.limit) == (0, None)
    assert int(said.split()[1]) * 0.1 > memory / 16
    assert ended.max_memory < memory * MIB


def test_the_owners_options_do_not_reach_it(
    prepare: Prepare, run: Run, java: Java, compile_java: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither JAVA_TOOL_OPTIONS nor its like; nor a file of arguments beside the job."""
    for name in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"):
        monkeypatch.setenv(name, "-Dmine=owner")
    files = {**compile_java({"Tell": TELL, "Version": version("x")}), "none": b"-Dmine=file"}
    _, said = run(prepare(files, job("Tell"), java=java, arguments=("@none",)))
    assert "mine=null\n" in said
    assert "Picked up" not in said


def test_nothing_is_left_outside(prepare: Prepare, run: Run, java: Java, compile_java: Compile) -> None:
    """No performance data of the machine in /tmp, where everybody could read it."""
    script = """
public class Look {
    public static void main(String[] a) {
        System.out.println(new java.io.File("/tmp/hsperfdata_" + System.getProperty("user.name"),
            "" + ProcessHandle.current().pid()).exists());
    }
}"""
    assert run(prepare(compile_java({"Look": script}), job("Look"), java=java))[1] == "false\n"


@pytest.mark.parametrize(
    ("descriptor", "has_java", "code"),
    [
        (job("Main"), False, "needs-java"),
        (job("-version"), True, "main-class"),
        (job("@file"), True, "main-class"),
        (job(""), True, "main-class"),
        (job("Main", 63), True, "needs-memory"),
        (job("Main", 128, options=("-Xmx100m",)), True, "needs-memory"),
        (job("Main", 128, options=("-Xms65m",)), True, "needs-memory"),
        (job("Main", 128, options=("-Xmx32m", "-Xms8m", "-Xms33m")), True, "needs-memory"),
    ],
)
def test_what_cannot_be_started_is_refused(
    prepare: Prepare, descriptor: Descriptor, has_java: bool, code: str
) -> None:
    """By name, before anything runs."""
    with pytest.raises(RefusedError) as caught:
        command_of(prepare({"x": ""}, descriptor, java=Java(Path("/usr/bin/java"), 17) if has_java else None))
    assert caught.value.code == code


def test_the_heap_that_is_given() -> None:
    """What a job states stands if it fits; else it follows from the memory, and leaves Java its room."""
    assert memory_options(512 * MIB, ()) == [f"-Xmx{400 * MIB}", f"-XX:MaxDirectMemorySize={32 * MIB}"]
    assert memory_options(128 * MIB, ("-Xmx80m",)) == [f"-XX:MaxDirectMemorySize={8 * MIB}"]
    assert 80 * MIB + JAVA_ROOM == 128 * MIB


def test_a_confined_job_with_places_is_told_of_its_proxy(prepare: Prepare, java: Java) -> None:
    """By options in front of its own, and by variables; one without places, or unconfined, is told nothing."""
    granted = msgspec.structs.replace(job("Tell"), permissions=Permissions(network=("a.org:443",)))
    confined = prepare({"a": b""}, granted, java=java, walls=Walls("own", (), "/usr/bin/java"))
    command = command_of(confined)
    assert command.argv.index("-Dhttps.proxyPort=3128") < command.argv.index("-cp")
    assert command.environment["https_proxy"] == "http://127.0.0.1:3128"
    for without in (attrs.evolve(confined, walls=None), attrs.evolve(confined, descriptor=job("Tell"))):
        command = command_of(without)
        assert not any("proxy" in each for each in (*command.argv, *command.environment))
