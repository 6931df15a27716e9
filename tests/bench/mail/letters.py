"""The mails that are sent: a text of 5 kB in two renderings, or one with a file of 1 MB; no two are alike."""

from __future__ import annotations

import base64
import random

SMALL, LARGE = 5_000, 1_000_000
INLINE_MAX = 100_000
"""A larger mail is large by an attachment, as mails of customers are."""

_HEAD = """\
Received: from mx.customer.example (mx.customer.example [192.0.2.25])
\tby mx.shop.example (Postfix) with ESMTPS id 4Zq{number}
\tfor <support@shop.example>; Fri, 20 Nov 2026 12:00:00 +0000 (UTC)
From: "Customer {person}" <customer{person}@customer.example>
To: Shop Support <support@shop.example>
Subject: =?utf-8?q?Where_is_my_order_{number}=3F_Gr=C3=B6=C3=9Fe_7?=
Date: Fri, 20 Nov 2026 12:00:00 +0000
Message-ID: <{number}.bench@customer.example>
MIME-Version: 1.0
"""
_WORDS = (
    "I have been waiting since Monday, and the parcel is still not here. Could you please look where it is?\n"
    "The number of the order is {number}. My address has not changed: Hauptstraße 7, 10115 Berlin.\n"
)
_PLAIN = "--alt\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}\n"
_HTML = (
    "--alt\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    '<html><head><style>p {{ margin: 0 }}</style></head><body><div style="font-family: sans-serif">{page}</div>'
    "</body></html>\n--alt--\n"
)
_LINE = 57
"""Bytes in a line of base64."""


class Letters:
    """Writes mails of one size, with CRLF."""

    def __init__(self, size: int) -> None:
        """Prepare what all mails have in common."""
        self._size = size
        inside = min(size, SMALL)
        self._repeats = max(1, (inside - 1000) // 2 // len(_WORDS))
        rest = 0 if size <= INLINE_MAX else (size - inside) * _LINE // (4 * _LINE // 3 + 2)
        file = random.Random(7).randbytes(rest)
        self._file = _lines(file)

    def write(self, number: int) -> bytes:
        """Return the mail of that number."""
        text = _WORDS.format(number=number) * self._repeats
        page = "".join(f"<p>{line}</p>\n" for line in text.splitlines())
        body = _PLAIN.format(text=text) + _HTML.format(page=page)
        head = _HEAD.format(number=number, person=number % 997)
        if not self._file:
            mail = head + 'Content-Type: multipart/alternative; boundary="alt"\n\n' + body
            return mail.encode().replace(b"\n", b"\r\n")
        mail = head + 'Content-Type: multipart/mixed; boundary="mix"\n\n'
        mail += '--mix\nContent-Type: multipart/alternative; boundary="alt"\n\n' + body
        mail += '--mix\nContent-Type: application/pdf; name="bill.pdf"\nContent-Transfer-Encoding: base64\n'
        mail += 'Content-Disposition: attachment; filename="bill.pdf"\n\n'
        own = base64.b64encode(b"%%PDF-1.7 %-42d" % number)  # another file in every mail
        return mail.encode().replace(b"\n", b"\r\n") + own + b"\r\n" + self._file + b"--mix--\r\n"


def _lines(data: bytes) -> bytes:
    pieces = (data[at : at + _LINE] for at in range(0, len(data), _LINE))
    return b"".join(base64.b64encode(piece) + b"\r\n" for piece in pieces)
