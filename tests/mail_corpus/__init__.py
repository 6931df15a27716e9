"""The corpus of hard mails: bytes, and what must come out of them.

The mails are files in ``tests/payloads/mail`` (`SOURCE.md` there says where they come from); ``golden.json`` is beside
them. They were written by the modules of this package (``python -m tests.mail_corpus``), from the same input as what is
expected, never from what the reader makes of them; a test sees that files and modules agree.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "payloads" / "mail"
GOLDEN = FOLDER / "golden.json"
SHARED = Path(os.environ.get("OMNIGATE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data") / "mail"


class Mail(NamedTuple):
    """A mail of the corpus.

    Attributes:
        name: unique.
        body: as a server receives it, before dot stuffing; line breaks as they are, NUL and 8-bit bytes included.
        expected: what must come out, for mails of the golden set:

            ``subject``, ``sender`` (address) and ``text`` (of the mail part), each may be None;
            ``attachments``: in order, of ``name``, ``mime``, ``size``, ``sha256`` and maybe ``cid``;
            and where the mail is about them: ``sender_name``, ``stripped`` (text without quotation and signature),
            ``sent_at`` (ISO 8601), ``provider_id``, ``flags`` (set ones, by name), ``html`` (true: a page is stored),
            ``remote_images``, ``trackers``.
    """

    name: str
    body: bytes
    expected: dict[str, Any] | None


@cache
def mails() -> tuple[Mail, ...]:
    """Every mail that comes with this project; each is another mail, by Message-ID or by content."""
    golden = json.loads(GOLDEN.read_bytes())
    return tuple(Mail(path.stem, path.read_bytes(), golden.get(path.stem)) for path in sorted(FOLDER.rglob("*.eml")))


def golden() -> tuple[Mail, ...]:
    """Those of which is known what must come out."""
    return tuple(mail for mail in mails() if mail.expected is not None)


def shared() -> tuple[Mail, ...]:
    """Mails of other projects that lie beside this one where it is developed; empty elsewhere."""
    return tuple(Mail(f"shared-{path.stem}", path.read_bytes(), None) for path in sorted(SHARED.glob("*/*.eml")))
