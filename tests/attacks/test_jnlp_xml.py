"""Attack: a JNLP file, which anyone may upload, is made to exhaust, mislead or use whoever reads it as XML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rjs import limits
from rjs.descriptor.xml_tree import XmlRefusedError, read_tree


def refused(xml: bytes | str, word: str) -> None:
    """Refused for the reason, at once."""
    before = time.process_time()
    with pytest.raises(XmlRefusedError, match=word):
        read_tree(xml.encode() if isinstance(xml, str) else xml)
    assert time.process_time() - before < 1


def test_the_good_control() -> None:
    """Elements, attributes, comments, CDATA, the five entities, references to characters, and a BOM are XML."""
    root = read_tree(
        b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n<!-- <!DOCTYPE a> -->"
        b"<a b='&lt;&#65;&amp;'>x<![CDATA[<y>]]>&gt;<c/>z</a>"
    )
    assert (root.name, root.attributes, root.text, root.line) == ("a", {"b": "<A&"}, "x<y>>z", 2)
    assert [(child.name, child.children) for child in root.children] == [("c", [])]


def test_billion_laughs() -> None:
    """Entities in entities: no entity can be declared at all."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    refused(f'<!DOCTYPE a [<!ENTITY e0 "lol">{entities}]><a>&e9;</a>', "DOCTYPE")


def test_quadratic_blow_up() -> None:
    """One long entity, named often."""
    refused(f'<!DOCTYPE a [<!ENTITY e "{"x" * 30_000}">]><a>{"&e;" * 5_000}</a>', "DOCTYPE")


@pytest.mark.parametrize("kind", ["SYSTEM", "PUBLIC 'x'"])
def test_external_entity(tmp_path: Path, kind: str) -> None:
    """A file of the server's, or an address of its network."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    refused(f"<!DOCTYPE a [<!ENTITY e {kind} '{secret.as_uri()}'>]><a>&e;</a>", "DOCTYPE")
    refused(f"<!DOCTYPE a [<!ENTITY % e {kind} '{secret.as_uri()}'> %e;]><a/>", "DOCTYPE")
    refused(f"<!DOCTYPE a {kind} '{secret.as_uri()}'><a/>", "DOCTYPE")


def test_attributes_by_default() -> None:
    """A document type that adds attributes to elements."""
    refused('<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>', "DOCTYPE")


@pytest.mark.parametrize("entity", ["&undeclared;", "&nbsp;", "&#0;", "&#xD800;", "&#1114112;", "&#;"])
def test_other_entities(entity: str) -> None:
    """Entities that nobody declared, and characters that XML does not have."""
    refused(f"<a>{entity}</a>", "not XML")
    refused(f"<a b='{entity}'/>", "not XML")


def test_deep_nesting() -> None:
    """Each level costs a stack somewhere."""
    refused("<a>" * 9_000 + "</a>" * 7_000, "deeper|larger")
    refused("<a>" * (limits.MAX_XML_DEPTH + 1), "deeper")
    assert read_tree(b"<a>" * limits.MAX_XML_DEPTH + b"</a>" * limits.MAX_XML_DEPTH).name == "a"


def test_many_elements() -> None:
    """Each costs memory many times its bytes."""
    refused(f"<a>{'<b/>' * limits.MAX_XML_ELEMENTS}</a>", "elements")


def test_many_attributes() -> None:
    """One element with hundreds."""
    stated = " ".join(f"a{n}=''" for n in range(limits.MAX_XML_ATTRIBUTES + 1))
    refused(f"<a {stated}/>", "attributes")


@pytest.mark.parametrize(
    "template", ["<a b='{}'/>", "<a>{}</a>", "<{}/>", "<a {}=''/>", "<a><![CDATA[{}]]></a>"]
)
def test_a_huge_value(template: str) -> None:
    """A value, a text, a name."""
    refused(template.format("x" * (limits.MAX_XML_TEXT + 1)), "longer")


def test_text_in_pieces() -> None:
    """A text that comments cut into pieces, each of them short."""
    refused(f"<a>{('x' * 1000 + '<!---->') * 20}</a>", "longer")


def test_a_huge_file() -> None:
    """More than any descriptor has."""
    refused(b"<a>" + b" " * limits.MAX_DESCRIPTOR_BYTES + b"</a>", "larger")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037"])
def test_other_encodings(encoding: str) -> None:
    """What other readers would decode by guessing: a second reading of the same bytes."""
    refused("<?xml version='1.0'?><a>\u00e4</a>".encode(encoding), "not UTF-8|not XML")


@pytest.mark.parametrize("declared", ["iso-8859-1", "utf-16", "us-ascii", "utf-7", "x-unknown"])
def test_declared_encodings(declared: str) -> None:
    """UTF-8 that says it is something else."""
    refused(f"<?xml version='1.0' encoding='{declared}'?><a/>", "encoding")


@pytest.mark.parametrize(
    "wrong", [b"\xff", b"\xc0\xbc", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", b"\x08"]
)
def test_bytes_that_are_no_text(wrong: bytes) -> None:
    """Overlong forms, surrogates, control characters."""
    refused(b"<a>" + wrong + b"</a>", "not UTF-8|not XML")


@pytest.mark.parametrize(
    "instruction", ["<?xml-stylesheet href='file:///etc/passwd'?>", "<?php system('id')?>"]
)
def test_processing_instructions(instruction: str) -> None:
    """Orders to whoever reads it, wherever they stand."""
    refused(f"{instruction}<a/>", "processing")
    refused(f"<a>{instruction}</a>", "processing")
    refused(f"<a/>{instruction}", "processing")


@pytest.mark.parametrize(
    "xml",
    [
        "<a xmlns='http://example.org'/>",
        "<a xmlns:x='http://example.org'/>",
        "<a xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='/etc/passwd'/></a>",
        "<x:a/>",
        "<a xml:base='http://example.org'/>",
    ],
)
def test_namespaces(xml: str) -> None:
    """Names that mean something else to another reader, and inclusions."""
    refused(xml, "namespaces")


def test_a_second_document_behind_the_first() -> None:
    """Only one of them would be read by each reader."""
    refused("<a/><b/>", "not XML")
    refused("<a/>text", "not XML")
    refused("<a b='1' b='2'/>", "not XML")
