"""The allow-list of Java options and properties."""

from __future__ import annotations

import pytest

from rjs import limits
from rjs.descriptor.java_options import heap_of, option_faults, property_faults

ACCEPTED = (
    "-Xms64m",
    "-Xmx2G",
    "-Xss512k",
    "-Xmn1048576",
    "-XX:MaxMetaspaceSize=128m",
    "-XX:+UseSerialGC",
    "-XX:ParallelGCThreads=2",
    "-XX:MaxGCPauseMillis=200",
    "-XX:-TieredCompilation",
    "-XX:+UseStringDeduplication",
    "-XX:TieredStopAtLevel=1",
    "-ea",
    "-da:org.example.Main",
    "-ea:org.example...",
    "-esa",
    "-server",
    "-Xint",
    "--enable-preview",
    "--add-modules=jdk.incubator.vector,java.sql",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
)
REFUSED = (
    "",
    "-",
    "-Xmx",
    "-Xmx0m",
    "-Xmx2GB",
    "-Xmx1g ",
    "-Xmx1g\n",
    "-Xmx1g -agentlib:jdwp",
    "-Xmx١g",
    "-Dx=y",
    "-agentlib:jdwp=transport=dt_socket,server=y",
    "-agentpath:/tmp/x.so",
    "-javaagent:x.jar",
    "-Xbootclasspath/a:x.jar",
    "-Xrunjdwp:transport=dt_socket",
    "-Xdebug",
    "-Xlog:all:file=/tmp/x",
    "-Xloggc:/tmp/x",
    "-Xshare:dump",
    "-XX:OnOutOfMemoryError=sh",
    "-XX:OnError=sh",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:Flags=/tmp/x",
    "-XX:VMOptionsFile=/tmp/x",
    "-XX:HeapDumpPath=/tmp/x",
    "-XX:+HeapDumpOnOutOfMemoryError",
    "-XX:ErrorFile=/tmp/x",
    "-XX:+UseTheForceGC",
    "-XX:-UseSerialGC",
    "-cp",
    "-classpath",
    "--class-path=x",
    "-jar",
    "--module-path=x",
    "--patch-module=java.base=x.jar",
    "--add-opens=java.base/java.lang=org.example",
    "--upgrade-module-path=x",
    "@options",
    "Main",
    "-version",
    "-splash:x.png",
    "-ea:../x",
)


@pytest.mark.parametrize("option", ACCEPTED)
def test_options_that_tune(option: str) -> None:
    """What tunes the machine is accepted."""
    assert not list(option_faults([option]))


@pytest.mark.parametrize("option", REFUSED)
def test_options_that_do_more(option: str) -> None:
    """What loads, writes, opens, runs or is unknown is refused, and so is what only begins like an option."""
    (fault,) = option_faults(["-ea", option])
    assert "not an option that jobs may use" in fault


def test_one_collector() -> None:
    """Two garbage collectors would keep the machine from starting; the same twice is one."""
    assert not list(option_faults(["-XX:+UseG1GC", "-XX:+UseG1GC"]))
    assert len(list(option_faults(["-XX:+UseG1GC", "-XX:+UseZGC"]))) == 1


def test_caps() -> None:
    """Options and properties are bounded in number and length."""
    assert list(option_faults(["-ea"] * (limits.MAX_JAVA_OPTIONS + 1)))
    assert list(option_faults(["-ea:" + "a" * limits.MAX_JAVA_OPTION_CHARACTERS]))
    assert list(property_faults([(f"a{index}", "") for index in range(limits.MAX_JAVA_PROPERTIES + 1)]))
    assert list(property_faults([("a", "x" * (limits.MAX_JAVA_PROPERTY_CHARACTERS + 1))]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", "640"), ("jnlp.part-1", ""), ("org.example.x_y", "a b=c;$HOME"), ("java.awt.headless", "true")],
)
def test_properties(name: str, value: str) -> None:
    """A job's own properties may have any printable value."""
    assert not list(property_faults([(name, value)]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("1a", "x"),
        ("a=b", "x"),
        ("a b", "x"),
        ("ä", "x"),
        ("a\n", "x"),
        ("a", "x\ny"),
        ("a", "\0"),
        ("java.class.path", "/tmp"),
        ("java.security.manager", ""),
        ("java.system.class.loader", "x"),
        ("com.sun.management.jmxremote.port", "1"),
        ("user.home", "/"),
    ],
)
def test_properties_that_are_none(name: str, value: str) -> None:
    """Names that are none, values that break lines, and what decides where code comes from are refused."""
    assert list(property_faults([(name, value)]))


def test_heap() -> None:
    """The last size of the heap counts, as for Java."""
    assert heap_of(["-Xmx1g", "-ea", "-Xmx512M"]) == 512 * limits.MIB
    assert heap_of(["-Xmx1024"]) == 1024
    assert heap_of(["-Xms1g"]) is None
