"""Attack: a small JNLP file, or a small ``job.toml``, that takes long to find all mistakes in.

A web server reads it unsigned, whoever may write into a home, and again for every copy of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from rjs.descriptor import DescriptorError, parse_descriptor
from rjs.descriptor.jnlp import jars_named
from rjs.limits import KIB, MAX_MISTAKES, MAX_XML_TEXT

PATIENCE = 0.15
"""Seconds of a processor, the best of three tries, for what takes 0.03 and took 0.2 to 0.5."""
MISTYPED = " ".join(f"hreg{number}=''" for number in range(30))


def document(*, resources: str = "", root: str = "jnlp", body: str = "") -> str:
    return (
        f"<{root}><information><title>x</title></information><resources>{resources}</resources>{body}"
        f'<application-desc main-class="M"/></{root}>'
    )


def fastest(xml: str) -> tuple[float, Sequence[str]]:
    """Seconds that refusing it takes, and its mistakes."""
    assert len(xml) <= 64 * KIB
    taken = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(DescriptorError) as refused:
            jars_named(xml.encode())
        taken.append(time.thread_time() - started)
    return min(taken), refused.value.mistakes


@pytest.mark.parametrize(
    "xml",
    [
        f"<jnlp><information>{'<aplication-desq/>' * 3500}</information></jnlp>",
        document(resources=f"<jar {MISTYPED}/>" * 200),
        document(resources=f'<java version="{"1+ " * 5_000}"/>'),
        document(body="".join(f"<{letter * (MAX_XML_TEXT - 1)}/>" for letter in "abc")),
    ],
    ids=["elements", "attributes", "versions", "long names"],
)
def test_mistakes_are_found_quickly(xml: str) -> None:
    """Whatever they are, the first are told and the others counted."""
    taken, mistakes = fastest(xml)
    assert len(mistakes) <= MAX_MISTAKES + 1
    assert taken < PATIENCE


def test_mistakes_are_told_briefly() -> None:
    """No name of the document is repeated in every sentence: the refusal is kept, and shown."""
    root = "r" * (MAX_XML_TEXT - 1)
    _, mistakes = fastest(document(root=root, body="<x/>" * 3_000))
    assert sum(map(len, mistakes)) < 64 * KIB


def test_near_matches_are_looked_for_while_they_are_told() -> None:
    """A person who mistyped one word among few is still told which one was meant."""
    _, mistakes = fastest(document(body="<aplication-desq/>"))
    assert any("did you mean application-desc?" in mistake for mistake in mistakes)


def test_a_job_toml_of_unknown_fields() -> None:
    """The same holds where a person writes the descriptor."""
    toml = 'name = "n"\n' + "".join(f"recources{number} = 1\n" for number in range(3_000))
    with pytest.raises(DescriptorError) as refused:
        parse_descriptor(toml.encode(), ())
    told = [mistake for mistake in refused.value.mistakes if "did you mean 'resources'" in mistake]
    assert MAX_MISTAKES - 5 <= len(told) <= MAX_MISTAKES
