"""Orders to a server: durable once placed, told of once, and nonsense in their folder hurts nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from rjs.errors import RefusedError
from rjs.identity.revocation import What
from rjs.operator_orders import RevocationOrder, revocation_orders
from rjs.orders import Orders, forget_outcomes, refusal_of, settle

ORDER = RevocationOrder(What.MEMBER, "cs2", "stolen")


def test_an_order_waits_until_it_is_settled(tmp_path: Path) -> None:
    """Whoever looks, and however often, finds it; then its file is gone and nothing is to be told."""
    path = revocation_orders(tmp_path).place(ORDER)
    for _ in range(2):
        assert list(revocation_orders(tmp_path).waiting()) == [(path, ORDER)]
    settle(path)
    assert (
        list(revocation_orders(tmp_path).waiting()) == []
        and refusal_of(path) is None
        and list(tmp_path.iterdir()) == []
    )


def test_a_refusal_comes_back_once(tmp_path: Path) -> None:
    """With its code and sentence; one that nobody fetched is removed."""
    for fetch in (True, False):
        path = revocation_orders(tmp_path).place(ORDER)
        settle(path, RefusedError("no-such-member", "nobody"))
        if fetch:
            assert str(refusal_of(path)) == "no-such-member: nobody"
        forget_outcomes(tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"what":"all","id":"x"}', b"[" * 70_000])
def test_nonsense_is_refused_and_gone(tmp_path: Path, content: bytes) -> None:
    """One bad file keeps no other order waiting."""
    (tmp_path / "00.order").write_bytes(content)
    path = revocation_orders(tmp_path).place(ORDER)
    assert list(revocation_orders(tmp_path).waiting()) == [(path, ORDER)]
    assert "cannot be read" in str(refusal_of(tmp_path / "00.order"))


def test_kinds_do_not_meet(tmp_path: Path) -> None:
    """An order of another kind in the same folder is not looked at."""
    Orders(tmp_path, "other-order", RevocationOrder).place(ORDER)
    assert list(revocation_orders(tmp_path).waiting()) == []
