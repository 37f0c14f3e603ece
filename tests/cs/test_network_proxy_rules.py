"""What a job may say to its proxy: requests, refusals, the bytes that are carried."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs import limits
from cs.network_proxy_rules import Asked, Meter, NotCarriedError, Pace, Reach, read_request
from rjs.network_places import network_place

PLACE = "data.example.org:443"


def refused(head: bytes) -> NotCarriedError:
    """Why it is."""
    with pytest.raises(NotCarriedError) as caught:
        read_request(head)
    return caught.value


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (b"data.example.org:443", PLACE),
        (b"DATA.Example.ORG:443", PLACE),
        (b"192.0.2.7:8080", "192.0.2.7:8080"),
        (b"[2001:DB8:0::7]:443", "[2001:db8::7]:443"),
        (b"xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
    ],
)
def test_connect_asks_for_a_place(target: bytes, place: str) -> None:
    """Host and port in the form that compares, and a tunnel."""
    head = b"CONNECT " + target + b" HTTP/1.1\r\nHost: elsewhere.example\r\nProxy-Connection: keep-alive"
    assert read_request(head) == Asked(place)


@pytest.mark.parametrize(
    "target",
    [
        b"data.example.org", b"data.example.org:", b"data.example.org:0", b"data.example.org:65536", b":443",
        b"data.example.org:0443", b"data.example.org.:443", b".example.org:443", b"a..b:443",
        b"user@data.example.org:443",
        b"user:password@data.example.org:443", b"http://data.example.org:443", b"data.example.org:443/",
        b"127.1:443", b"0x7f000001:443", b"2130706433:443", b"0177.0.0.1:443", b"[::ffff:127.0.0.1]:443",
        b"[fe80::1%eth0]:443", b"::1:443", b"[::1:443", b"data.example.org:443@evil.example:443",
        b"data_example:443",
        b"a" * 64 + b".example:443", b".".join([b"a" * 60] * 5) + b":443",
        b"data.example.org:443,evil.example:443", b"%64ata:443",
        b"data.example.org\x00.evil:443", "bücher.example:443".encode(), b"data.example.org\\@evil:443",
        b"*", b"/",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(target: bytes) -> None:
    """Whatever two readers might take for different hosts is none."""
    error = refused(b"CONNECT " + target + b" HTTP/1.1\r\nHost: data.example.org:443")
    assert (error.code, error.status) == ("bad-request", 400)
    assert b"user:password" not in error.response()


@pytest.mark.parametrize(
    "head",
    [
        b"", b"\r\n", b"CONNECT", b"CONNECT a:1", b"CONNECT a:1 HTTP/2.0", b"CONNECT a:1 HTTP/1.2",
        b"CONNECT  a:1 HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1 ", b" CONNECT a:1 HTTP/1.1", b"CONNECT\ta:1 HTTP/1.1", b"CONNECT a:1\rHTTP/1.1",
        b"CONNECT a:1 HTTP/1.1\nHost: a", b"CON(ECT a:1 HTTP/1.1", b"A" * 33 + b" http://a/ HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01",
        b"CONNECT a:1 HTTP/1.1\r\nHost", b"CONNECT a:1 HTTP/1.1\r\nHost : a", b"CONNECT a:1 HTTP/1.1\r\n: a",
        b"CONNECT a:1 HTTP/1.1\r\nX: a\r\n folded", b"CONNECT a:1 HTTP/1.1\r\nX: a\nY: b",
        b"CONNECT a:1 HTTP/1.1\r\nX: a\x00",
        b"CONNECT a:1 HTTP/1.1\r\nX: a\r", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: a",
        b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 5", b"CONNECT a:1 HTTP/1.1\r\nX\xc4: a",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(head: bytes) -> None:
    """Only HTTP/1 in its strict form is one."""
    assert refused(head).code == "bad-request"


def test_a_plain_request_is_made_anew() -> None:
    """The server gets its own form of it: the place as Host, nothing that was for the proxy, one request alone."""
    asked = read_request(
        b"POST HTTP://Data.Example.org/a/b?c=d HTTP/1.1\r\nHost: evil.example\r\n"
        b"Proxy-Authorization: Basic c2VjcmV0\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: websocket\r\nTE: trailers\r\n"
        b"Accept:  text/html \r\nContent-Length: 3"
    )
    assert asked == Asked(
        "data.example.org:80",
        b"POST /a/b?c=d HTTP/1.1\r\nHost: data.example.org\r\nAccept: text/html\r\nContent-Length: 3\r\n"
        b"Via: 1.1 rjs\r\n"
        b"Connection: close\r\n\r\n",
        3,
    )


@pytest.mark.parametrize(
    ("line", "place", "first"),
    [
        (b"GET http://a.example HTTP/1.0", "a.example:80", b"GET / HTTP/1.0\r\nHost: a.example\r\n"),
        (b"GET http://a.example?q HTTP/1.1", "a.example:80", b"GET /?q HTTP/1.1\r\nHost: a.example\r\n"),
        (b"GET http://a.example:8080/x HTTP/1.1", "a.example:8080", b"GET /x HTTP/1.1\r\nHost: a.example:8080\r\n"),
        (b"GET http://[2001:db8::1]/x HTTP/1.1", "[2001:db8::1]:80", b"GET /x HTTP/1.1\r\nHost: [2001:db8::1]\r\n"),
        (b"GET http://a.example/http://b.example:9/ HTTP/1.1", "a.example:80", b"GET /http://b.example:9/ "),
        (b"GET http://a.example/@b.example HTTP/1.1", "a.example:80", b"GET /@b.example HTTP/1.1\r\n"),
        (b"OPTIONS http://a.example HTTP/1.1", "a.example:80", b"OPTIONS * HTTP/1.1\r\n"),
    ],
)  # fmt: skip
def test_what_plain_requests_ask(line: bytes, place: str, first: bytes) -> None:
    """The place is the authority's, with port 80 unless it says another; the path is never looked into."""
    asked = read_request(line)
    assert (asked.place, asked.body) == (place, 0)
    assert asked.head.startswith(first)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"GET /x HTTP/1.1\r\nHost: a.example", "bad-request"),
        (b"GET https://a.example/ HTTP/1.1", "bad-request"),
        (b"GET ftp://a.example/ HTTP/1.1", "bad-request"),
        (b"GET http:///x HTTP/1.1", "bad-request"),
        (b"GET http://a.example:/ HTTP/1.1", "bad-request"),
        (b"GET http://a.example./ HTTP/1.1", "bad-request"),
        (b"GET http://ada:secret@a.example/ HTTP/1.1", "bad-request"),
        (b"GET http://a.example@b.example/ HTTP/1.1", "bad-request"),
        (b"GET http://a.example#@b.example/ HTTP/1.1", "bad-request"),
        (b"GET http://a.example\\@b.example/ HTTP/1.1", "bad-request"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\nhost: b", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: 3, 3", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: +3", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: 0x3", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: ", "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: " + b"9" * 19, "bad-request"),
        (b"POST http://a.example/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", "length-needed"),
        (b"POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked", "length-needed"),
        (b"POST http://a.example/ HTTP/1.1\r\nTRANSFER-encoding: identity", "length-needed"),
        (b"CONNECT a.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked", "length-needed"),
        (b"GET http://a.example/ HTTP/1.1" + b"\r\nX: y" * (limits.NETWORK_FIELDS + 1), "head-too-long"),
    ],
)  # fmt: skip
def test_plain_requests_that_can_be_read_in_two_ways_are_refused(head: bytes, code: str) -> None:
    """Lengths that disagree, two hosts, users in addresses: none of it is forwarded."""
    error = refused(head)
    assert error.code == code
    assert b"secret" not in error.response()


HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"CONNECT ", b"GET ", b"http://", b"a.example", b":443", b" HTTP/1.1", b"\r\n", b"\n",
             b"\r", b"@", b"Host: ",
             b"Content-Length: 5", b"Transfer-Encoding: chunked", b"[::1]", b"127.0.0.1", b"\x00",
             b"Connection: host",
             b"Connection: content-length", b"/", b"#", b"?", b"%"]
        ),
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


@given(HOSTILE)
def test_any_bytes_are_a_request_for_a_place_or_refused(head: bytes) -> None:
    """Nothing else comes of them, and what is forwarded is one request with one Host and at most one length."""
    try:
        asked = read_request(head)
    except NotCarriedError as error:
        first, _, rest = error.response().partition(b"\r\n")
        assert re.fullmatch(rb"HTTP/1\.1 4[0-9]{2} [\x20-\x7e]+", first)
        assert rest.count(b"\r\n\r\n") == 1
        return
    assert network_place(asked.place) == asked.place
    if asked.body is None:
        assert asked.head == b""
        return
    lines = asked.head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    names = [line.partition(b":")[0].lower() for line in lines[1:-2]]
    assert names.count(b"host") == names.count(b"connection") == 1
    assert names.count(b"content-length") <= 1
    assert b"transfer-encoding" not in names


@given(
    st.sampled_from([b" ", b"\t", b"a", b":", b"/", b"\r\n", b"X: \r\n", b"["]),
    st.sampled_from([b"", b"GET http://", b"CONNECT "]),
)
def test_a_long_head_costs_little(letter: bytes, start: bytes) -> None:
    """Reading takes a time in proportion to its length."""
    head = start + letter * (limits.NETWORK_HEAD // len(letter))
    with pytest.raises(NotCarriedError):
        read_request(head + b"\x00")


def test_an_answer_has_the_reason_in_its_first_line() -> None:
    """Of a CONNECT that is refused, clients show that line alone; it is one line of ASCII whatever was asked."""
    error = NotCarriedError("not-granted", "bücher\r\nX: y\x1b[31m is not granted")
    assert error.response().startswith(b"HTTP/1.1 403 b?cher??X: y?[31m is not granted\r\nContent-Type: ")
    assert error.response().endswith(b"\r\n\r\nnot-granted: b?cher??X: y?[31m is not granted\n")


def test_exactly_the_granted_places_can_be_reached() -> None:
    """Another port, a subdomain or an address of it is another place."""
    reach = Reach(frozenset({PLACE}))
    reach.check(PLACE)
    for other in ("data.example.org:80", "www.data.example.org:443", "192.0.2.7:443", "example.org:443"):
        with pytest.raises(NotCarriedError, match="not-granted"):
            reach.check(other)


def test_bytes_of_both_directions_count() -> None:
    """What would go beyond the bound is not carried, and nothing is after it."""
    meter = Meter(10)
    meter.opened(PLACE)
    meter.sent(PLACE, 4)
    meter.received(PLACE, 6)
    assert meter.facts() == {
        "used": 10, "most": 10, "places": {PLACE: {"connections": 1, "sent": 4, "received": 6}}
    }  # fmt: skip
    with pytest.raises(NotCarriedError, match="network-used-up"):
        meter.check()
    meter = Meter(10)
    with pytest.raises(NotCarriedError, match="10 B"):
        meter.received(PLACE, 11)
    with pytest.raises(NotCarriedError):
        meter.sent(PLACE, 1)


def test_connections_have_a_pace() -> None:
    """After a burst there are so many a second."""
    pace = Pace(0.0)
    waits = [pace.taken(0.0) for _ in range(limits.NETWORK_BURST)]
    assert set(waits[:-1]) == {0.0}
    assert waits[-1] == pytest.approx(1 / limits.NETWORK_A_SECOND)
    assert pace.taken(1 / limits.NETWORK_A_SECOND) == pytest.approx(1 / limits.NETWORK_A_SECOND)
    assert pace.taken(100.0) == 0.0
