"""Heads of requests that are known again, and what is never taken for one."""

from __future__ import annotations

from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion11
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.web.delivery import Head, head_of
from gateway.web.heads import LONGEST, MOST, Heads

HEAD = b"POST /c/shop HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\n"


def parsed(path: str = "/c/shop", **fields: str) -> Head:
    return head_of(
        RawRequestMessage(
            method="POST",
            path=path,
            version=HttpVersion11,
            headers=CIMultiDictProxy(CIMultiDict({"Host": "gw", "Content-Length": "2", **fields})),
            raw_headers=(),
            should_close=False,
            compression=None,
            upgrade=False,
            chunked=False,
            url=URL(path),
        )
    )


def test_a_head_says_what_a_delivery_is_told() -> None:
    head = parsed("/c/shop/a/b?x=1&y=%C3%A9&x=2")
    assert (head.method, head.channel, head.rest, head.url) == ("POST", "shop", "a/b", "/c/shop/a/b?x=1&y=%C3%A9&x=2")
    assert head.query == {"x": "1", "y": "é"}
    assert parsed("/c/shop").query == {}
    assert [parsed(path).channel for path in ("/media/1", "/c", "/C/shop", "/")] == ["", "", "", ""]


def test_a_field_is_found_whatever_its_case_also_the_second_time() -> None:
    headers = parsed(**{"X-Sign": "a"}).headers
    for _ in range(2):
        assert headers.get("x-sign") == headers.get("X-Sign", "b") == "a"
        assert headers.get("x-other") is None
        assert headers.get("x-other", "b") == "b"


def knowing(head: bytes = HEAD) -> Heads:
    heads = Heads()
    for _ in range(2):
        assert heads.note(head + b"{}", parsed(), 2)
    return heads


def test_a_head_is_kept_when_it_comes_for_the_second_time() -> None:
    heads, head = Heads(), parsed()
    assert heads.note(HEAD + b"{}", parsed(), 2)
    assert heads.find(HEAD + b"{}") is None
    assert heads.note(HEAD + b"[]", head, 2)
    assert heads.find(HEAD + b"42") == (head, b"42")


def test_what_is_less_or_more_than_the_request_is_not_taken_for_it() -> None:
    heads = knowing()
    for data in (HEAD, HEAD + b"{", HEAD + b"{}{", HEAD + b"{}" + HEAD + b"{}", HEAD[:-1], b"", b"{}", b"\r\n\r\n{}"):
        assert heads.find(data) is None
    assert heads.find(HEAD.replace(b"gw", b"GW") + b"{}") is None


def test_a_request_that_is_not_all_of_what_came_ends_the_certainty_and_is_not_kept() -> None:
    heads = Heads()
    for _ in range(3):
        assert not heads.note(HEAD + b"{}{", parsed(), 2)
        assert not heads.note(HEAD + b"2\r\n{}\r\n0\r\n\r\n", parsed(), 2)
        assert not heads.note(b"the end of a body" + HEAD, parsed(), 2)
    assert heads.find(HEAD + b"{}") is None


def test_only_so_many_and_so_long_ones_are_kept() -> None:
    heads = knowing()
    long = HEAD.replace(b"gw", b"g" * LONGEST)
    assert all(heads.note(long + b"{}", parsed(), 2) for _ in range(3))
    assert heads.find(long + b"{}") is None

    several = [HEAD.replace(b"gw", b"gw%d" % number) for number in range(MOST)]
    for one in several:
        for _ in range(2):
            heads.note(one + b"{}", parsed(), 2)
    assert heads.find(HEAD + b"{}") is None  # all were let go when there would have been one more
    assert heads.find(several[-1] + b"{}") is not None


def test_heads_that_come_once_do_not_drive_out_those_that_come_again() -> None:
    heads = knowing()
    for number in range(20 * MOST):
        heads.note(HEAD.replace(b"gw", b"sha256=%d" % number) + b"{}", parsed(), 2)
    assert heads.find(HEAD + b"{}") is not None
