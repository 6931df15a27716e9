"""Mails that were made to hurt: large ones, built when they are needed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from tests.mail_corpus import Mail
from tests.mail_corpus.build import header, mail, multipart, part


def _nested(levels: int) -> bytes:
    head = b"".join(
        f'--b{level}\r\nContent-Type: multipart/mixed; boundary="b{level + 1}"\r\n\r\n'.encode()
        for level in range(levels)
    )
    return head + f"--b{levels}\r\n\r\ndeep".encode()


def _multi(name: str, body: bytes, kind: str = "multipart/mixed; boundary=b") -> bytes:
    return mail(name, body, content_type=kind)


def _bomb() -> bytes:
    """Base64 of base64 of base64 … of zeros, in a mail in a mail in a mail."""
    data = bytes(3_000_000)
    for level in range(5):
        data = mail(
            f"bomb-{level}",
            base64.encodebytes(data).replace(b"\n", b"\r\n"),
            content_type="message/rfc822",
            content_transfer_encoding="base64",
        )
    return data


def _html(piece: str, count: int = 100_000) -> bytes:
    return mail(f"hostile-html-{piece.encode().hex()}", piece * count, content_type="text/html")


_PIECES = [
    *("<", "<a ", "<!--", '<a "', "&#9", "<title>", "</", "<div>", "<b></i>", "<font size=1><p>", "<table><tr><td>"),
    *("<b><table></b>", "<svg>", "<blockquote>", "<p><b>", "<img src=x", "<a href=x><p>", "<li>"),
]
BUILDERS: dict[str, Callable[[], bytes]] = {
    "thousand-nested-parts": lambda: _multi("hostile-nested", _nested(1_000), "multipart/mixed; boundary=b0"),
    "ten-thousand-nested-parts": lambda: _multi("hostile-nested-more", _nested(10_000), "multipart/mixed; boundary=b0"),
    "hundred-thousand-parts": lambda: _multi("hostile-parts", b"--b\r\n\r\nx\r\n" * 100_000),
    "hundred-thousand-files": lambda: _multi("hostile-files", multipart("b", *[part("a/b", "x")] * 100_000)),
    "a-boundary-of-one-mark": lambda: _multi("hostile-dashes", b"\r\n--" * 500_000, "multipart/mixed; boundary=-"),
    "base64-bomb": _bomb,
    "base64-of-padding": lambda: mail("hostile-padding", b"QQ==" * 500_000, content_transfer_encoding="base64"),
    "header-of-a-megabyte": lambda: mail("hostile-header", "x", subject="x" * 1_000_000),
    "header-folded-a-megabyte": lambda: mail("hostile-folded", "x", subject="\r\n x" * 250_000),
    "hundred-thousand-fields": lambda: mail("hostile-fields", "x", *["X-A: b"] * 100_000),
    "encoded-words-a-megabyte": lambda: mail("hostile-words", "x", subject="=?utf-8?B?w6k=?= " * 60_000),
    "parameters-a-megabyte": lambda: mail(
        "hostile-parameters", "x", content_type="text/plain" + "".join(f"; name*{n}*=%41" for n in range(60_000))
    ),
    "comments-a-megabyte": lambda: mail("hostile-comments", "x", **{"from": "(" * 1_000_000}),
    "ten-thousand-recipients": lambda: mail(
        "hostile-to", "x", to=", ".join(f"u{n}@example.net" for n in range(10_000))
    ),
    "references-a-megabyte": lambda: mail("hostile-references", "x", references="<a@b.example> " * 70_000),
    "nul-bytes": lambda: header("hostile-nul") + b"\r\n" + bytes(1_000_000),
    "one-line-of-ten-megabytes": lambda: mail("hostile-line", b"x" * 10_000_000),
    "lines-of-nothing": lambda: mail("hostile-lines", b"\r\n" * 1_000_000 + b"x"),
    "quotes-of-quotes": lambda: mail("hostile-quotes", ">" * 500_000 + "\n> x" * 100_000),
    "introductions": lambda: mail("hostile-wrote", "On 1 2026 a@b wrote:\n" * 20_000),
    "labels": lambda: mail("hostile-labels", "From: a\nSent: b\n" * 20_000),
    "flowed": lambda: mail("hostile-flowed", ("> x \n" * 200_000), content_type="text/plain; format=flowed"),
    "calendar": lambda: mail(
        "hostile-calendar", "BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\nSUMMARY:x\n" * 100_000, content_type="text/calendar"
    ),
    "uuencoded-begins": lambda: mail("hostile-uu", "begin 644 a\n" * 100_000),
    "tnef-of-attributes": lambda: mail(
        "hostile-tnef",
        b"\x78\x9f\x3e\x22\1\0" + b"\2\2\x90\6\0\0\0\0\0\0\0" * 200_000,
        content_type="application/ms-tnef",
    ),
    "tnef-of-properties": lambda: mail(
        "hostile-mapi",
        b"\x78\x9f\x3e\x22\1\0" + b"\1\3\x90\6\0\xff\xff\xff\x0f\xff\xff\xff\xff" + b"\x0b\0\1\0\0\0\0\0" * 200_000,
        content_type="application/ms-tnef",
    ),
    "asn1-nested": lambda: mail("hostile-asn1", b"\x30\x80" * 500_000, content_type="application/pkcs7-mime"),
    **{f"html-{number:02}": lambda piece=piece: _html(piece) for number, piece in enumerate(_PIECES)},
}


def hostile() -> Iterator[Mail]:
    """Build them one after the other; all are to be taken, in time linear to their size."""
    for name, build in BUILDERS.items():
        yield Mail(f"hostile-{name}", build(), None)
