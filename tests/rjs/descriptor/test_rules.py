"""What only several fields together break, and what they make together."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.seal_testing import make_recipient
from rjs.bundle.testing import make_signer
from rjs.descriptor import Descriptor, DescriptorError, parse_descriptor
from rjs.descriptor.model import JavaSettings
from rjs.needs import Platform

FILES = {
    "job.toml": b"",
    "run.py": b"",
    "pylock.toml": b"",
    "tasks.txt": b"--seed 1\n--seed '7 8'\n",
    "bad.txt": b"ok\n'\n",
    "large.txt": b"a\n" * limits.MAX_TASK_FILE_BYTES,
    "org/example/Main.class": b"",
    "bin/linux/go": b"",
    "bin/linux/lib.so": b"",
    "bin/windows/go.exe": b"",
    "bin/any/go": b"",
}
PYTHON = 'name = "job"\nruntime = "python"\nentry = "run.py"\n'
JAVA = 'name = "job"\nruntime = "java"\nentry = "org.example.Main"\n'
NATIVE = 'name = "job"\nruntime = "native"\n'
LINUX = '[[resources]]\nos = "linux"\narch = "x86_64"\nfiles = ["bin/linux"]\nentry = "bin/linux/go"\n'
WINDOWS = '[[resources]]\nos = "windows"\nfiles = ["bin/windows"]\nentry = "bin/windows/go.exe"\n'


def read(name: str, cap: int) -> bytes:
    if len(FILES[name]) > cap:
        raise BundleRefusedError("file-size", "too large")
    return FILES[name]


def parsed(toml: str, files: dict[str, bytes] = FILES) -> Descriptor:
    return parse_descriptor(toml.encode(), files, read)


def mistake(toml: str, files: dict[str, bytes] = FILES) -> str:
    """The only mistake."""
    with pytest.raises(DescriptorError) as caught:
        parsed(toml, files)
    (only,) = caught.value.mistakes
    return only


# --- entries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["run.py", "simulation.cli:main", "a:b.c", "größe:über"])
def test_python_entries(entry: str) -> None:
    """Python runs a file of the bundle, or a function by its object reference."""
    assert parsed(PYTHON.replace("run.py", entry)).entry == entry


@pytest.mark.parametrize(
    "entry", ["run", "Run.py", "./run.py", "a:", ":b", "a.:b", "a:b c", "a:class", "1:b", "a:b:c"]
)
def test_python_entries_that_are_none(entry: str) -> None:
    """What is neither is refused on its line."""
    assert mistake(PYTHON.replace("run.py", entry)).startswith(
        "line 3: field 'entry' must name a file of the bundle"
    )


def test_java_entries() -> None:
    """Java runs a class of the bundle, or the manifest's, or one in a JAR within."""
    assert parsed(JAVA).needs.runtime == "java"
    assert parsed(JAVA.replace('entry = "org.example.Main"', "")).entry == ""
    assert parsed(JAVA.replace("example", "other"), {**FILES, "lib/a.jar": b""}).entry == "org.other.Main"
    assert "there is no 'org.other.Main'" in mistake(JAVA.replace("example", "other"))
    assert "the name of a class" in mistake(JAVA.replace("org.example.Main", "-version"))
    assert "'resources.entry' is not for Java" in mistake(JAVA + LINUX)


def test_native_entries() -> None:
    """A native job has an entry everywhere, or one for each platform."""
    assert parsed(NATIVE + 'entry = "bin/any/go"').needs.platforms == ()
    assert "field 'entry' is missing" in mistake(NATIVE)
    assert "'resources.entry' must name a file" in mistake(NATIVE + WINDOWS.replace("go.exe", "no.exe"))


# --- platforms ------------------------------------------------------------------------------------------


def test_platforms_are_pairs() -> None:
    """Systems and architectures become every pair of them; a part that is not stated means any."""
    both = '[needs]\nos = ["linux", "macos", "linux"]\narch = ["x86_64", "aarch64"]'
    pairs = [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "x86_64"), ("macos", "aarch64")]
    assert parsed(PYTHON + both).needs.platforms == tuple(Platform(*pair) for pair in pairs)
    assert parsed(PYTHON + '[needs]\nos = "linux"').needs.platforms == (Platform("linux"),)
    assert parsed(PYTHON + '[needs]\narch = ["aarch64"]').needs.platforms == (Platform("", "aarch64"),)
    assert parsed(PYTHON + LINUX).needs.platforms == ()


def test_platforms_with_an_entry() -> None:
    """Where each platform has its own entry, the job needs one of these."""
    assert parsed(NATIVE + LINUX + WINDOWS).needs.platforms == (
        Platform("linux", "x86_64"),
        Platform("windows"),
    )
    needs = '[needs]\nos = ["linux", "windows"]\narch = ["x86_64", "aarch64"]\n'
    assert parsed(NATIVE + needs + LINUX + WINDOWS).needs.platforms == (
        Platform("linux", "x86_64"),
        Platform("windows", "x86_64"),
        Platform("windows", "aarch64"),
    )
    assert "has macos, for which no resource has an entry" in mistake(
        NATIVE + '[needs]\nos = ["linux", "macos"]\n' + LINUX
    )


def test_files_of_a_platform() -> None:
    """Patterns become names; a native entry belongs to its platform's files; others need them not."""
    job = parsed(NATIVE + LINUX + WINDOWS.replace('files = ["bin/windows"]\n', ""))
    assert [each.files for each in job.resources] == [
        ("bin/linux/go", "bin/linux/lib.so"),
        ("bin/windows/go.exe",),
    ]
    assert job.unneeded_files(Platform("windows", "x86_64")) == {"bin/linux/go", "bin/linux/lib.so"}
    assert job.on(Platform("windows", "x86_64")).entry == "bin/windows/go.exe"


def test_what_every_platform_needs() -> None:
    """No resource takes away what other platforms read or run."""
    assert "takes 'job.toml'" in mistake(PYTHON + '[[resources]]\nos = "linux"\nfiles = ["job.toml", "bin"]')
    listed = PYTHON + 'tasks = "tasks.txt"\n[[resources]]\nos = "linux"\nfiles = ["tasks.txt"]'
    assert "takes 'tasks.txt'" in mistake(listed)
    locked = PYTHON + '[python]\nlock = "pylock.toml"\n[[resources]]\nos = "linux"\nfiles = ["*lock.toml"]'
    assert "takes 'pylock.toml'" in mistake(locked)
    assert "leaves out 'run.py' on macos-x86_64" in mistake(
        PYTHON + '[[resources]]\nos = "linux"\nfiles = ["run.py"]'
    )
    only_linux = PYTHON + '[needs]\nos = "linux"\n[[resources]]\nos = "linux"\nfiles = ["run.py"]'
    assert parsed(only_linux).resources[0].files == ("run.py",)


def test_patterns_without_files() -> None:
    """A pattern that names nothing is a mistake on the line where it stands."""
    assert mistake(PYTHON + '[[resources]]\nos = "linux"\nfiles = [\n"bin",\n"x/*"\n]').startswith(
        "line 8: field 'resources.files' has 'x/*', which names no file"
    )


def test_too_many_patterns() -> None:
    """Patterns are counted over all resources."""
    half = "[[resources]]\nfiles = [" + '"bin",' * (limits.MAX_PATTERNS // 2 + 1) + "]\n"
    assert f"more than {limits.MAX_PATTERNS} patterns" in mistake(PYTHON + half + half)
    assert f"at most {limits.MAX_RESOURCES} tables" in mistake(
        PYTHON + "[[resources]]\n" * (limits.MAX_RESOURCES + 1)
    )


# --- tasks ----------------------------------------------------------------------------------------------


def test_tasks_of_their_own() -> None:
    """A list of lists gives each task its arguments."""
    job = parsed(PYTHON + 'tasks = [["a"], [], ["{index}"]]')
    assert (job.tasks, job.each_task) == (3, (("a",), (), ("{index}",)))


def test_tasks_in_a_file() -> None:
    """A file's lines are counted, and its mistakes told with their lines."""
    job = parsed(PYTHON + 'tasks = "tasks.txt"')
    assert (job.tasks, job.each_task) == (2, "tasks.txt")
    assert mistake(PYTHON + 'tasks = "bad.txt"').startswith(
        "line 4: field 'tasks' names 'bad.txt': line 2 has a quote"
    )
    assert "there is no 'none.txt'" in mistake(PYTHON + 'tasks = "none.txt"')
    assert "too large" in mistake(PYTHON + 'tasks = "large.txt"')


def test_tasks_in_a_file_that_cannot_be_read() -> None:
    """Without its content, a file of tasks is refused; what its reader refuses comes through."""
    toml = (PYTHON + 'tasks = "tasks.txt"').encode()
    with pytest.raises(DescriptorError, match="nothing is at hand"):
        parse_descriptor(toml, FILES)

    def changed(name: str, cap: int) -> bytes:
        raise BundleRefusedError("file-changed", name)

    with pytest.raises(BundleRefusedError, match="file-changed"):
        parse_descriptor(toml, FILES, changed)


# --- settings -------------------------------------------------------------------------------------------


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def answer(*recipients: str, encrypt: bool = True) -> str:
    return PYTHON + f"[answer]\nencrypt = {json.dumps(encrypt)}\nrecipients = {json.dumps(recipients)}\n"


def test_recipients() -> None:
    """Certificates in PEM become DER, each fit to be sealed for."""
    ada, bob = (make_recipient(name).certificate for name in ("Ada", "Bob"))
    assert parsed(answer(pem(ada), pem(bob))).answer.recipients == tuple(
        each.public_bytes(Encoding.DER) for each in (ada, bob)
    )


def test_recipients_that_are_none() -> None:
    """What cannot be sealed for is refused with the reason."""
    ada = make_recipient("Ada").certificate
    signer = make_signer().certificate
    odd = make_recipient("Odd", ec.generate_private_key(ec.SECP521R1())).certificate
    assert "encrypt' needs recipients" in mistake(answer())
    assert "with encrypt = true only" in mistake(answer(pem(ada), encrypt=False))
    for text in ("", "x", "\0", "é", pem(ada) + pem(signer), pem(ada).replace("M", "N"), pem(ada)[:-40]):
        assert "must be one certificate in PEM" in mistake(answer(text))
    assert "named twice" in mistake(answer(pem(ada), pem(ada)))
    assert "cannot be used: a recipient's certificate must be for" in mistake(answer(pem(signer)))
    assert "P-256 or P-384" in mistake(answer(pem(odd)))
    assert f"1 to {limits.MAX_RECIPIENTS}" in mistake(answer(*["x"] * (limits.MAX_RECIPIENTS + 1)))


@pytest.mark.parametrize(
    "place", ["example.org", "example.org:0", "example.org:65536", "*:443", "a b:1", "::1:80", ":1"]
)
def test_places_that_are_none(place: str) -> None:
    """A permission names one host and one port."""
    assert mistake(PYTHON + f'[permissions]\nnetwork = [\n"a:1",\n"{place}"]').startswith(
        "line 7: field 'permissions.network' is wrong:"
    )


def test_places() -> None:
    """Places come in one form, each once."""
    toml = PYTHON + '[permissions]\nnetwork = ["Example.ORG:443", "example.org:443", "[2001:DB8:0::1]:80"]'
    assert parsed(toml).permissions.network == ("example.org:443", "[2001:db8::1]:80")


def test_java_settings() -> None:
    """Options and properties of the allow-list arrive in order."""
    job = parsed(JAVA + '[java]\noptions = ["-Xmx100m", "-ea"]\n[java.properties]\n"b.c" = "1"\na = ""\n')
    assert job.java == JavaSettings(options=("-Xmx100m", "-ea"), properties=(("b.c", "1"), ("a", "")))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (
            JAVA + '[java]\noptions = ["-javaagent:x.jar"]',
            "line 5: field 'java.options' has '-javaagent:x.jar'",
        ),
        (JAVA + '[java]\nproperties = {"user.home" = "/"}', "line 5: field 'java.properties' sets user.home"),
        (
            JAVA + '[java]\noptions = ["-Xmx1g"]\n[needs]\nmemory = "1 GiB"',
            "field 'needs.memory' must be at least",
        ),
        (JAVA + '[needs]\nmemory = "2 MiB"', "line 5: field 'needs.memory' must be at least"),
        (PYTHON + '[java]\noptions = ["-ea"]', "line 4: field 'java' is for Java; the runtime is \"python\""),
        (
            NATIVE + 'entry = "bin/any/go"\n[python]\nlock = "pylock.toml"',
            "line 5: field 'python.lock' is for Python",
        ),
        (PYTHON + '[python]\nlock = "other.toml"', "there is no 'other.toml'"),
        (PYTHON + '[needs]\njava = "17"', "line 5: field 'needs.java' must be a version specifier"),
        (
            PYTHON + '[needs]\npython = ">=3.12, ü"',
            "line 5: field 'needs.python' must be a version specifier",
        ),
        (PYTHON + "attempts = 11", "line 4: field 'attempts' must be a whole number from 1 to 10"),
        (PYTHON + '[needs]\nos = ["linux", "beos"]', "line 5: field 'needs.os' must be one or a list"),
        (PYTHON + "[[needs]]", "line 4: field 'needs' must be a table"),
        (PYTHON + "resources = [1]", "line 4: field 'resources' must be at most"),
        (PYTHON + "[needs]\ncore = 2", "did you mean 'needs.cores'?"),
        (PYTHON.replace("job", "a\\u202eb"), "line 1: field 'name' must be a text of 1 to 100 printable"),
    ],
)
def test_mistakes(toml: str, words: str) -> None:
    """Each is told once, on its line, with what to do."""
    assert words in mistake(toml)


def test_the_list_of_mistakes_ends() -> None:
    """Of very many mistakes the first are told, and how many more there are."""
    with pytest.raises(DescriptorError) as caught:
        parsed(PYTHON + "".join(f"x{index} = 1\n" for index in range(limits.MAX_MISTAKES + 7)))
    assert caught.value.mistakes[-1] == "and 7 more"
    assert len(caught.value.mistakes) == limits.MAX_MISTAKES + 1
    assert caught.value.code == "descriptor"


def test_unusable_keys() -> None:
    """A recipient's key that only signs is refused by name of what would do."""
    key = ed25519.Ed25519PrivateKey.generate()
    assert "use P-256" in mistake(answer(pem(make_recipient("Ed", key).certificate)))
