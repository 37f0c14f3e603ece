"""JNLP files as descriptors: what is taken, what is ignored, and every mistake at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs import limits
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.java_machine import heap_in, memory_for
from rjs.descriptor.jnlp import parse_jnlp, read_jnlp
from rjs.descriptor.jnlp_platforms import UnknownNameError, platforms_of
from rjs.descriptor.jnlp_versions import VersionError, specifier_of
from rjs.descriptor.model import Descriptor, Jar, JavaSettings, Resource
from rjs.limits import GIB, JAVA_ROOM, MIB
from rjs.needs import Needs, Offer, Platform, lack

WHOLE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- as a Web Start application of 2006 had it -->
<jnlp spec="1.0+" codebase="https://example.org/apps" href="picture.jnlp">
  <information>
    <title>A
      picture</title>
    <vendor>Institute</vendor> <homepage href="https://example.org"/> <description kind="short">Fractals</description>
    <icon href="icon.gif"/> <offline-allowed/> <shortcut online="false"><desktop/></shortcut>
  </information>
  <information locale="de"><title>Ein Bild</title></information>
  <security><all-permissions/></security>
  <resources>
    <j2se version="1.8+" href="https://java.example.org" initial-heap-size="16m" max-heap-size="200m"
          java-vm-args="-ea -Xss1m"/>
    <jar href="libs/colours.jar" download="lazy" size="1234"/>
    <jar href="picture.jar" main="true" download="eager"/>
    <property name="palette" value="night &amp; day"/>
    <property name="rjs.tasks" value="8"/>
    <property name="rjs.wall_time" value="600"/>
    <property name="rjs.cores" value="2"/>
  </resources>
  <resources os="Windows" arch="amd64"><nativelib href="libs/win.jar"/></resources>
  <resources os="Linux Mac\\ OS\\ X"><nativelib href="libs/unix.jar"/><jar href="libs/posix.jar"/></resources>
  <resources os="SunOS" arch="sparc"><nativelib href="libs/sun.jar"/></resources>
  <application-desc main-class="org.example.Picture">
    <argument>{index}</argument>
    <argument>of {count}</argument>
    <argument/>
  </application-desc>
</jnlp>
"""

SMALL = """<jnlp><information><title>t</title></information>
<resources>{resources}</resources>
<application-desc main-class="Main">{arguments}</application-desc>
{more}</jnlp>
"""
MAIN = '<jar href="main.jar"/>'


def small(resources: str = "", arguments: str = "", more: str = "") -> bytes:
    return SMALL.format(resources=MAIN + resources, arguments=arguments, more=more).encode()


def mistakes(xml: bytes) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        parse_jnlp(xml)
    assert caught.value.code == "descriptor"
    return list(caught.value.mistakes)


def test_a_whole_application_is_a_job() -> None:
    """Every part that means something to a job is in the descriptor, and nothing else is."""
    jnlp = read_jnlp(WHOLE.encode())
    win, unix, posix = (
        Jar(name="libs/win.jar", native=True),
        Jar(name="libs/unix.jar", native=True),
        "libs/posix.jar",
    )
    assert jnlp.main_jar == "picture.jar"
    assert jnlp.descriptor == Descriptor(
        name="A picture",
        runtime="java",
        entry="org.example.Picture",
        args=("{index}", "of {count}", ""),
        tasks=8,
        needs=Needs(runtime="java", java=">=8", wall_time=600, cores=2),
        resources=(
            Resource(jars=(Jar(name="libs/colours.jar"),)),
            Resource(platform=Platform("windows", "x86_64"), jars=(win,)),
            Resource(platform=Platform("linux"), jars=(unix, Jar(name=posix))),
            Resource(platform=Platform("macos"), jars=(unix, Jar(name=posix))),
        ),
        java=JavaSettings(
            options=("-ea", "-Xss1m", f"-Xms{16 * MIB}", f"-Xmx{200 * MIB}"),
            properties=(("palette", "night & day"),),
        ),
    )
    here = jnlp.descriptor.on(Platform("linux", "aarch64"))
    assert [jar.name for jar in here.jars] == ["libs/colours.jar", "libs/unix.jar", posix]
    assert jnlp.descriptor.expanded(jnlp.descriptor.args, 3) == ["3", "of 8", ""]


def test_the_manifest_may_name_the_main_class() -> None:
    """As Web Start has it; a class that the file itself names comes first."""
    without = small().replace(b' main-class="Main"', b"")
    assert parse_jnlp(without, "org.example.Other").entry == "org.example.Other"
    assert parse_jnlp(small(), "org.example.Other").entry == "Main"
    assert "main-class is missing" in mistakes(without)[0]


def test_every_mistake_is_told_with_its_line() -> None:
    """From top to bottom, in one go."""
    wrong = """<jnlp spec="1" speck="2">
<information><titel>t</titel></information>
<resources><j2se version="1.8.0_40+" max-heap-size="much" java-vm-args="-javaagent:x.jar"/>
<jar href="/etc/main.jar"/><jar href="https://example.org/lib.jar"/>
<property name="java.home" value="/"/><property name="rjs.tasks" value="many"/><property name="rjs.task" value="8"/>
<package name="x.*" part="y"/><extension href="z.jnlp"/>
</resources>
<resources os="Wondows"/>
<application-desc main-class="-version"><param name="a" value="b"/></application-desc>
<applet-desc/>
</jnlp>"""
    told = mistakes(wrong.encode())
    assert [each.partition(":")[0] for each in told] == [
        "line 1", "line 1", "line 2", *["line 3"] * 3, *["line 4"] * 2, *["line 5"] * 3, *["line 6"] * 2,
        "line 8", *["line 9"] * 2, "line 10",
    ]  # fmt: skip
    words = [
        "did you mean spec", "title", "did you mean title", "1.8.0_40+", "-javaagent", "much", "/etc",
        "URLs are not fetched", "java.home", "many", "rjs.task", "package", "extension", "wondows",
        "use argument", "-version", "application-desc",
    ]  # fmt: skip
    assert [word for each, word in zip(told, words, strict=True) if word not in each] == []


@pytest.mark.parametrize(
    ("xml", "word"),
    [
        (b"<jnlp", "not XML"),
        (b"", "not XML"),
        (b"<a/><b/>", "not XML"),
        (b'<jnlp spec="1" spec="2"/>', "not XML"),
        (b"<jnlp>&nbsp;</jnlp>", "not XML"),
        (small(more="<component-desc/>"), "application-desc"),
        (small(more="<installer-desc/>"), "application-desc"),
        (small(more="<update check='always'/>"), "update"),
        (small(more="<application-desc/>"), "one application-desc"),
        (small(more="<resources locale='de'/>"), "locale"),
        (small(more="<resources os='Linux'><property name='a' value='b'/></resources>"), "every platform"),
        (small(more="<resources os='Linux'><java version='17'/></resources>"), "every platform"),
        (small(more="<resources os='SunOS'><jar href='x.jar' main='true'/></resources>"), "every platform"),
        (small("<java version='17'/><j2se version='11'/>"), "twice"),
        (small("<java/>"), "version is empty"),
        (small("<java version='17'><resources/></java>"), "resources"),
        (small("<property name='a' value='1'/><property name='a' value='2'/>"), "twice"),
        (small("<jar href='main.jar'/>"), "twice"),
        (small("<jar href='x.jar'/><jar href='x.jar'/>"), "twice"),
        (small("<jar href='x.jar'/><nativelib href='x.jar'/>"), "twice"),
        (small("<jar href='a.jar' main='true'/><jar href='b.jar' main='true'/>"), "twice"),
        (small("<jar href='X.jar'/><jar href='x.jar'/>"), "side by side"),
        (small("<jar href='x.zip'/>"), "end with .jar"),
        (small("<jar href='../x.jar'/>"), "beside"),
        (small("<jar/>"), "beside"),
        (small("<jar href='x.jar' main='yes'/>"), "neither true nor false"),
        (small("<jar href='x.jar' version='2'/>"), "version"),
        (small("".join(f"<jar href='{number}.jar'/>" for number in range(65))), "64 are allowed"),
        (small("".join(f"<property name='p{n}' value=''/>" for n in range(257))), "256 are allowed"),
        (small("<java version='17' max-heap-size='1m' java-vm-args='-Xmx2m'/>"), "keep one"),
        (small("<java version='17' max-heap-size='1m' initial-heap-size='2m'/>"), "smaller"),
        (small("<java version='17' max-heap-size='1025g'/>"), "1024 GiB at most"),
        (small("<java version='17' java-vm-args='-Xmx999999999999t'/>"), "1024 GiB at most"),
        (small("<property name='rjs.memory' value='60m'/>"), "64m at least"),
        (small("<java version='17' max-heap-size='1g'/><property name='rjs.memory' value='1g'/>"), "1072m at least"),
        (small(arguments="<argument><b/></argument>"), "cannot have the element 'b'"),
        (small(arguments="<argument/>" * 1001), "1000 arguments"),
        (small(arguments="stray"), "text"),
        (small().replace(b"<title>t</title>", b"<title> </title>"), "1 to 100"),
        (small().replace(b"<title>t</title>", b"<title>&#x202e;</title>"), "1 to 100"),
        (small().replace(b"jnlp", b"job"), "root element"),
        (b"<jnlp><information><title>t</title></information><application-desc main-class='M'/></jnlp>", "main JAR"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_by_name(xml: bytes, word: str) -> None:
    """Nothing that a file says is dropped without a word, but what the documentation lists."""
    told = mistakes(xml)
    assert any(word in each for each in told), told


def test_attempts_memory_and_disk_are_properties() -> None:
    """What JNLP has no words for; none of it reaches the program."""
    names = {"attempts": "5", "memory": "1g", "disk": "2g"}
    stated = "".join(f"<property name='rjs.{name}' value='{value}'/>" for name, value in names.items())
    descriptor = parse_jnlp(small(stated))
    assert (descriptor.attempts, descriptor.needs.memory, descriptor.needs.disk) == (5, GIB, 2 * GIB)
    assert descriptor.java.properties == ()


@pytest.mark.parametrize("heap", [1, 64, 500, 4096])
def test_a_stated_heap_gets_the_memory_that_it_takes(heap: int) -> None:
    """The default is raised, never lowered, and what it becomes has the heap and Java's own room in it."""
    needs = parse_jnlp(small(f"<java version='17' max-heap-size='{heap}m'/>")).needs
    assert needs.memory >= max(512 * MIB, heap * MIB + JAVA_ROOM)
    assert heap_in(memory_for(heap * MIB)) >= heap * MIB


@pytest.mark.parametrize(
    ("os", "arch", "platforms"),
    [
        ("", "", ["any-any"]),
        (" ", " ", ["any-any"]),
        ("Linux", "", ["linux-any"]),
        ("Windows\\ 11 Windows\\ 10", "x86_64", None),
        ("win", "", ["windows-any"]),
        ("Mac OS X", "aarch64", ["macos-aarch64"]),
        ("Mac\\ OS\\ X Win", "arm64 x64", ["macos-aarch64", "macos-x86_64", "windows-aarch64", "windows-x86_64"]),
        ("Mac", "x86", []),
        ("SunOS Linux", "i386 amd64", ["linux-x86_64"]),
        ("Linux", "sparcv9", []),
        ("Linus", "", None),
        ("Linux", "amd46", None),
    ],
)  # fmt: skip
def test_names_of_platforms(os: str, arch: str, platforms: list[str] | None) -> None:
    """A word is the beginning of a name; other systems' resources are for nobody here; a slip is told."""
    if platforms is None:
        with pytest.raises(UnknownNameError):
            platforms_of(os, arch)
    else:
        assert [str(each) for each in platforms_of(os, arch)] == platforms


@pytest.mark.parametrize(
    ("versions", "good", "bad"),
    [
        ("1.8+", "8 9 17 100", "7"),
        ("1.8", "8", "7 9 17"),
        ("17", "17", "16 18"),
        ("17*", "17", "16 18"),
        ("17.0.0+", "17 21", "11"),
        ("1.8 11 17+", "8 11 17 25", "9 10 12 16"),
        ("21 17", "17 21", "18 19 20 22"),
        ("11+ 17", "11 12 17", "8"),
    ],
)
def test_versions_of_java(versions: str, good: str, bad: str) -> None:
    """Alternatives and open ends, as a machine that states a whole number meets them."""
    needs = Needs(runtime="java", java=specifier_of(versions), memory=0, disk=0, cores=0)
    assert all(lack(needs, Offer(java=each)) is None for each in good.split())
    assert all(lack(needs, Offer(java=each)) is not None for each in bad.split())
    assert lack(needs, Offer()) is not None


@pytest.mark.parametrize(
    "versions", ["", " ", "1.8.0_40", "17.0.2", "1.*", "11&17", "latest", "0", "8 12 16 20 24 28+"]
)
def test_versions_that_no_machine_states(versions: str) -> None:
    """An update's number, a name, an empty list, more gaps than a specifier holds."""
    with pytest.raises(VersionError):
        specifier_of(versions)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_files_are_jobs_or_refused(data: st.DataObject) -> None:
    """Whatever is cut out, put in or said twice: a descriptor, or a DescriptorError with printable sentences."""
    xml = WHOLE.encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(xml)))
        stop = data.draw(st.integers(start, min(len(xml), start + 40)))
        other = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from(_PIECES)))
        xml = xml[:start] + other + xml[stop:]
    _judged(xml)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.text(max_size=5), lambda inner: st.tuples(st.sampled_from(["jnlp", "jar", "resources", "title",
       "information", "java", "property", "application-desc", "argument"]), st.dictionaries(st.sampled_from(["href",
       "name", "value", "version", "os", "arch", "main-class", "max-heap-size"]), st.text(max_size=8), max_size=3),
       st.lists(inner, max_size=4)), max_leaves=20))  # fmt: skip
def test_any_tree_is_a_job_or_refused(tree: object) -> None:
    """Elements of JNLP in any order, at any place, with any values."""
    _judged(f"<jnlp>{_written(tree)}</jnlp>".encode("utf-8", "surrogatepass"))


_PIECES = [
    b'"',
    b"<",
    b">",
    b"&lt;",
    b"&#0;",
    b"<!DOCTYPE a>",
    b"<resources>",
    b"</resources>",
    b'os="x"',
    b"\xff",
    b"1" * 30,
]


def _judged(xml: bytes) -> None:
    try:
        assert parse_jnlp(xml).entry
    except DescriptorError as error:
        assert error.mistakes
        assert all(each.isprintable() for each in error.mistakes)


def _written(tree: object) -> str:
    if isinstance(tree, tuple):
        name, attributes, inner = tree
        stated = "".join(f" {key}='{_escaped(value)}'" for key, value in attributes.items())
        return f"<{name}{stated}>{''.join(map(_written, inner))}</{name}>"
    return _escaped(str(tree))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&apos;")


def test_mistakes_are_listed_up_to_a_cap() -> None:
    """A file full of mistakes is refused with the first ones, and how many more there are."""
    xml = f"<jnlp>{'<nothing/>' * (limits.MAX_MISTAKES + 7)}</jnlp>"
    with pytest.raises(DescriptorError) as refused:
        parse_jnlp(xml.encode())
    assert len(refused.value.mistakes) == limits.MAX_MISTAKES + 1
    assert re.fullmatch(r"and \d+ more", refused.value.mistakes[-1])
