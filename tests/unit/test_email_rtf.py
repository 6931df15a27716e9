"""RTF in winmail.dat: read as other readers read it, and bounded where those are not."""

from __future__ import annotations

import re
import struct

import pytest
from compressed_rtf import compress
from compressed_rtf import decompress as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from striprtf.striprtf import rtf_to_text

from normalizer.mail import rtf
from tests.mail_corpus.office import RICH, WRAPPED

MEGABYTE = 1 << 20
PACKED = compress(RICH)
PIECES = [
    b"{", b"}", b"\\", b"\\par ", b"\\'e4", b"\\'9", b"\\u8364?", b"\\u-10179?", b"\\uc2 ", b"\\bin3 ",
    b"\\bin-9", b"\\f1 ",    b"\\htmlrtf ", b"\\htmlrtf0 ", b"{\\*\\htmltag64 <p>}",
    b"{\\fonttbl{\\f1\\fcharset128 x;}}", b"\\ansicpg65001 ",    b"text",
    b"\\fromhtml1 ", b'{\\field{\\*\\fldinst{HYPERLINK "a:b"}}{\\fldrslt x}}',
    b"\\ansicpg0 ", b"\r\n", b"\\~", b"\\*",
]  # fmt: skip


def plain(source: bytes) -> bytes:
    return compress(source, compressed=False)


def text(source: bytes) -> str:
    body = rtf.read(plain(b"{\\rtf1 " + source + b"}"))
    assert body is not None
    return body.text


@pytest.mark.parametrize(
    "source", [RICH, WRAPPED, b"{\\rtf1 " + b"WXYZ" * 3000 + b"}", b"{\\rtf1 " + bytes(range(256)) * 20]
)
def test_what_another_program_compressed_is_read(source: bytes) -> None:
    packed = compress(source)

    assert rtf.decompress(packed, MEGABYTE) == (source, True) == (theirs(packed), True)
    assert rtf.decompress(plain(source), MEGABYTE) == (source, True)


@given(st.lists(st.sampled_from([b"ab", b"abc", b"\\par", b"\0", b" ", bytes(18)]), max_size=400).map(b"".join))
def test_any_bytes_come_back(source: bytes) -> None:
    assert rtf.decompress(compress(source), MEGABYTE) == (source, True)


def test_striprtf_finds_the_same() -> None:
    source = re.sub(rb"\\\n|\\u-10179\?\\u-8704\?|\\'93\\'fa\\'96\\{|{\\field.*}", b"", RICH)  # where it is wrong
    body = rtf.read(plain(source))

    assert body is not None
    assert body.text.split() == rtf_to_text(source.decode("latin-1")).split()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"\\uc2\\u8364 xyz", "€z"),
        (b"\\uc0\\u8364 xyz", "€xyz"),
        (b"{\\uc3 x}\\u8364\\'80y", "x€y"),
        (b"\\ansicpg936 \\'c4\\'e3\\'ba\\'c3", "你好"),
        (b"\\ansicpg65001 \\'c3\\'b6", "ö"),
        (b"a\\line b\\cell c\\row d\\_e\\~f\\-g", "a\nb\tc\nd\u2011e\u00a0fg"),
        (b"a{\\*\\unheard of {this}}b{\\v c}", "abc"),
        (b"a\\bin5 }}}}}b", "ab"),
        (b"\\u-10179?", "\ufffd"),
        (b"\\lquote a\\rquote\\emdash\\bullet", "\u2018a\u2019\u2014\u2022"),
        (b"a}b", "a"),
    ],
)
def test_words_and_characters(source: bytes, said: str) -> None:
    assert text(source) == said


def test_the_html_it_was_made_of_is_taken_and_not_its_rendering() -> None:
    body = rtf.read(compress(WRAPPED))

    assert body is not None
    assert body.text == ""
    assert body.html == (
        "<html><head><style>p { color: red }</style></head><p>Ждём, a &lt;b&gt; &lt;c&gt;"
        '<b>bold</b> <a href="https://shop.example/{1}">link</a></p></html>'
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=60).map(b"".join))
def test_any_rtf_is_text_that_utf8_can_hold(source: bytes) -> None:
    body = rtf.read(plain(b"{\\rtf1" + source))

    assert body is not None
    (body.text + body.html).encode()


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 3))
def test_any_stream_is_read(noise: bytes, cut: int, kind: int) -> None:
    rtf.read(noise)
    rtf.read(PACKED[:cut] + noise)
    rtf.read(struct.pack("<II4sI", 9, 1 << 31, (b"LZFu", b"MELA", b"none", b"\0\0\0\0")[kind], 0) + noise)


@pytest.mark.parametrize(
    "piece",
    [
        b"{",
        b"}",
        b"\\u8364?",
        b"\\",
        b"\\\n",
        b"{\\b x}\\'e4",
        b'{\\field{\\*\\fldinst{HYPERLINK "https://e.x/a',
        b"\\f1\\fcharset2",
    ],
)
def test_hostile_rtf_takes_no_longer_than_other_rtf(piece: bytes) -> None:
    source = b"{\\rtf1{\\fonttbl" + piece * (4 * MEGABYTE // len(piece))
    body = rtf.read(plain(source))

    assert body is not None
    assert (body.size, body.whole) == (rtf.OUTPUT_MAX, False)


def test_a_little_that_unpacks_to_much_is_bounded() -> None:
    tokens = (b"\xff" + b"\x00\x0f" * 8) * 100_000
    out, whole = rtf.decompress(struct.pack("<II4sI", len(tokens) + 12, 1 << 31, b"LZFu", 0) + tokens, 10_000)

    assert (len(out), whole) == (10_000, False)
