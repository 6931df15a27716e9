"""Header fields: folding, charsets, encoded words, parameters, addresses."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normalizer.mail import charsets
from normalizer.mail.address import LIMIT, addresses
from normalizer.mail.headers import parameters, unfold, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?a_b=C3=A9?=", "a bé"),
        ("=?utf-8?B?w6k=?= =?utf-8?B?w6k=?=", "éé"),
        ("=?utf-8?B?w6k=?= and =?utf-8?B?w6k=?=", "é and é"),
        ("=?UTF-8*EN?q?x?=", "x"),
        ("=?utf-8?B?w6?=", "\ufffd"),
        ("=?utf-8?B?=", "=?utf-8?B?="),
        ("=?utf-8?B??=", ""),
        ("=?utf-8?B?4oKs4?==?utf-8?B?oKs=?=", "€\ufffd\ufffd"),
        ("=?utf-8?Q?spaces in here?=", "spaces in here"),
        ("(=?iso-8859-1?Q?a?=)x=?iso-8859-1?Q?b?=y", "(a)xby"),
        ("=?utf-8?Q?a=0D=0ABcc:_evil?=", "a  Bcc: evil"),
        ("=?rot13?Q?nop?=", "nop"),
    ],
)
def test_encoded_words(text: str, expected: str) -> None:
    assert words(text) == expected


def test_a_character_cut_between_two_encoded_words_is_whole_again() -> None:
    data = "日本".encode()
    pieces = [base64.b64encode(part).decode() for part in (data[:4], data[4:])]

    assert words(" ".join(f"=?utf-8?B?{piece}?=" for piece in pieces)) == "日本"


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n")))
def test_what_python_encodes_is_read_back(text: str) -> None:
    encoded = base64.b64encode(text.encode()).decode()

    assert words(f"=?utf-8?B?{encoded}?=") == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('text/plain; charset="UTF-8"', ("text/plain", {"charset": "UTF-8"})),
        ("TEXT/Plain;charset=utf-8;", ("text/plain", {"charset": "utf-8"})),
        ("a/b; name*=utf-8'de'f%C3%BCr.txt", ("a/b", {"name": "für.txt"})),
        ("a/b; name*1=cd; name*0=ab", ("a/b", {"name": "abcd"})),
        ("a/b; name*0*=utf-8''%C3; name*1*=%A9; name*2=x", ("a/b", {"name": "éx"})),
        ('a/b; name="=?utf-8?Q?=C3=A9?="', ("a/b", {"name": "é"})),
        ('a/b; name="semi;colon \\"quoted\\""', ("a/b", {"name": 'semi;colon "quoted"'})),
        ('a/b; name="never closed', ("a/b", {"name": "never closed"})),
        ("a/b; name*=latin%41", ("a/b", {"name": "latinA"})),
        ("a/b; name*99999999999=x", ("a/b", {})),
        ("a/b; name=first; name=second", ("a/b", {"name": "first"})),
        ("", ("", {})),
    ],
)
def test_parameters(value: str, expected: tuple[str, dict[str, str]]) -> None:
    assert parameters(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("Ann <a@b.example>, <c@d.example>", [("Ann", "a@b.example"), ("", "c@d.example")]),
        ('"Doe, John" <j@d.example>', [("Doe, John", "j@d.example")]),
        (
            "=?utf-8?Q?Evil_=3Cboss=40shop.example=3E?= <e@evil.example>",
            [("Evil <boss@shop.example>", "e@evil.example")],
        ),
        ("boss@shop.example <e@evil.example>", [("boss@shop.example", "e@evil.example")]),
        ("a@b.example (Ann (nested) B)", [("Ann nested B", "a@b.example")]),
        (
            "friends: a@b.example, C <c@d.example>;, e@f.example",
            [("", "a@b.example"), ("C", "c@d.example"), ("", "e@f.example")],
        ),
        ("undisclosed-recipients:;", []),
        ("<@relay.example,@other.example:a@b.example>", [("", "a@b.example")]),
        ('"odd local"@b.example', [("", '"odd local"@b.example')]),
        ("Ann <a@b.example", [("Ann", "a@b.example")]),
        ("Ann a@b.example>", [("", "Anna@b.example")]),
        ("no address, @, a@, @b", []),
        ("'Ann' <a@b.example>;c@d.example", [("Ann", "a@b.example"), ("", "c@d.example")]),
        ("", []),
    ],
)
def test_address_lists(text: str, expected: list[tuple[str, str]]) -> None:
    assert [tuple(box) for box in addresses(text)] == expected


def test_ten_thousand_recipients_are_bounded() -> None:
    assert len(addresses(", ".join(f"u{number}@x.example" for number in range(10_000)))) == LIMIT


@pytest.mark.parametrize(
    ("data", "label", "expected"),
    [
        (b"\x80", "iso-8859-1", "€"),
        ("朱镕基".encode("gb18030"), "gb2312", "朱镕基"),
        ("똠방".encode("cp949"), "ks_c_5601-1987", "똠방"),
        ("①ｱ".encode("cp932"), "Shift_JIS", "①ｱ"),
        (b"\x1b$B$3$l\x1b(B", "ISO-2022-JP", "これ"),
        ("ö".encode(), None, "ö"),
        ("ö".encode("latin-1"), None, "ö"),
        ("ö".encode("latin-1"), "us-ascii", "ö"),
        ("Größe".encode("latin-1"), "utf-8", "Größe"),
        ("viele ö und ä".encode() + b"\xff", "utf-8", "viele ö und ä\ufffd"),
        ("ü".encode(), "unknown-8bit", "ü"),
        (b"abc", "utf-16", "abc"),
        ("ab".encode("utf-16"), "utf-16", "ab"),
        (b"abc", "zlib", "abc"),
        (b"\\x41", "unicode_escape", "\\x41"),
        (b"abc", "x" * 5000, "abc"),
        (b"a\x00b", "ascii", "a\ufffdb"),
        (b"\xef\xbb\xbfa", "utf-8", "a"),
        (b"+2AA-", "utf-7", "\ufffd"),
    ],
)
def test_charsets(data: bytes, label: str | None, expected: str) -> None:
    assert charsets.decode(data, label) == expected


@settings(deadline=None)
@given(st.binary(), st.sampled_from([None, *sorted(charsets._KNOWN)]))
def test_any_bytes_in_any_charset_are_text_that_utf8_can_hold(data: bytes, label: str | None) -> None:
    charsets.decode(data, label).encode()


def test_a_folded_field_is_one_line() -> None:
    assert unfold(b" a\r\n\tb\n  c \r\n") == "a b c"
