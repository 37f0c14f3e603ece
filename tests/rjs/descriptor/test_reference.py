"""The documentation of job.toml is what the reader does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from rjs.descriptor import parse_descriptor
from rjs.descriptor.examples import EXAMPLES, Example
from rjs.descriptor.fields import JobTable
from rjs.descriptor.reading import examples_of, hints_of, table_of
from rjs.descriptor.reference import files

TABLES: list[type[Struct]] = [
    JobTable,
    *(found[0] for hint in hints_of(JobTable).values() if (found := table_of(hint))),
]
DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", files())
def test_the_pages_are_current(name: str) -> None:
    """What stands in docs/ is what the classes say: run `python -m rjs.descriptor.reference docs`."""
    assert (DOCS / name).read_text("utf-8") == files()[name]


def test_links_within_the_page() -> None:
    """Every link of the page leads to one of its headings, or to a file beside it."""
    page = files()["job-toml.md"]
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    for target in re.findall(r"\]\(([^)]+)\)", page):
        assert target[1:] in anchors if target.startswith("#") else (DOCS / target).exists()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.toml.split('"')[1])
def test_whole_examples(example: Example) -> None:
    """Every example of the page is a job."""
    contents = {"job.toml": b"", **example.files}
    parse_descriptor(example.toml.encode(), contents, lambda name, _cap: contents[name])


def test_every_field_has_examples_of_its_form() -> None:
    """Every field's examples are of the field's own type, as TOML and as it is read."""
    for kind in TABLES:
        for hint in hints_of(kind).values():
            if table_of(hint) is None:
                for example in examples_of(hint):
                    msgspec.convert(tomllib.loads(f"value = {example}")["value"], hint)


def test_the_schema_has_every_field() -> None:
    """The schema knows the same fields as the reader, no others, each with its description."""
    made: dict[str, Any] = json.loads(files()["job.schema.json"])
    assert made["$ref"] == "#/$defs/JobTable"
    for kind in TABLES:
        stated = made["$defs"][kind.__name__]
        assert list(stated["properties"]) == list(hints_of(kind))
        assert stated["additionalProperties"] is False
        for name, hint in hints_of(kind).items():
            assert table_of(hint) or stated["properties"][name]["description"]
