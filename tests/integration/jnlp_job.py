"""A Java Web Start job of several JARs, compiled and signed by Java's own tools: for the integration tests."""

from __future__ import annotations

from pathlib import Path

from jdk import run, sign_with_jarsigner

from rjs.bundle.testing import Party
from rjs.identity.keys import load_chain, load_private

MAIN = """
import java.nio.file.*;
public class Main {
    public static void main(String[] arguments) throws Exception {
        Path out = Path.of(System.getenv("RJS_OUTPUT"));
        Files.writeString(out.resolve("sum.txt"), Library.sum(Integer.parseInt(arguments[0])) + "\\n");
    }
}
"""
LIBRARY = """
public class Library {
    public static int sum(int last) { return last * (last + 1) / 2; }
}
"""
JNLP = """<?xml version="1.0" encoding="UTF-8"?>
<jnlp spec="1.0" codebase="http://example.org/apps" href="sums.jnlp">
  <information><title>Sums</title><vendor>Ada</vendor></information>
  <security><all-permissions/></security>
  <resources>
    <j2se version="11+" max-heap-size="32m"/>
    <jar href="sums.jar" main="true"/>
    <jar href="libs/library.jar"/>
    <property name="rjs.memory" value="256m"/>
  </resources>
  <resources os="Windows"><nativelib href="libs/windows/native.jar"/></resources>
  <application-desc main-class="Main"><argument>100</argument></application-desc>
</jnlp>
"""
ANSWER = b"5050\n"
NAMES = ("sums.jnlp", "sums.jar", "libs/library.jar", "libs/windows/native.jar")


def signing_party(identity: Path) -> Party:
    """A person's own signing key with its certificates, for ``jarsigner``."""
    return Party(load_private(identity / "signing.key"), load_chain(identity / "signing.pem"))


def make_jnlp_job(folder: Path, signer: Party) -> Path:
    """Below ``folder``: the ``.jnlp``, and each JAR where it says, signed by ``signer``."""
    classes = folder / "classes"
    (folder / "libs" / "windows").mkdir(parents=True)
    (classes / "JNLP-INF").mkdir(parents=True)
    for name, source in (("Main", MAIN), ("Library", LIBRARY)):
        (folder / f"{name}.java").write_text(source)
    run("javac", "--release", "11", "-d", classes, folder / "Main.java", folder / "Library.java")
    (classes / "native.dll").write_bytes(b"MZ")
    for path in (folder / "sums.jnlp", classes / "JNLP-INF" / "APPLICATION.JNLP"):
        path.write_text(JNLP)
    holds = {
        "sums.jar": ["Main.class", "JNLP-INF/APPLICATION.JNLP"],
        "libs/library.jar": ["Library.class"],
        "libs/windows/native.jar": ["native.dll"],
    }
    for name, files in holds.items():
        run(
            "jar",
            "-c",
            "-M",
            "-f",
            folder / name,
            *(part for each in files for part in ("-C", classes, each)),
        )
        sign_with_jarsigner(folder / name, signer, folder)
    return folder
