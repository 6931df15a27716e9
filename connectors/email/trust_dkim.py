"""DKIM (RFC 6376) and ARC (RFC 8617) by dkimpy, within bounds.

A signature is written by whoever sent the mail, and so is, through the DNS, the key: both may be made to keep a
verifier busy. Therefore a header of too many or too long fields is not verified at all, nor are oversized keys, and the
canonical form of the body is made here: dkimpy's own takes time quadratic to the length of a run of blanks, and takes
all of a large body in one step, during which no other thread runs.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import dkim
from dkim import canonicalization
from msgspec import Struct
from typing_extensions import override

from connectors.email.trust_dns import Dns, NotNow

HEADER_MAX, FIELDS_MAX = 131_072, 1_000
"""Bytes and number of header fields of a mail whose signatures are verified; usual are 5 kB in 40."""
SIGNATURE_MAX, SIGNATURES_MAX, SETS_MAX = 16_384, 8, 10
"""Bytes of a signature, signatures of a mail (RFC 6376 §6.1 lets the verifier limit them), ARC sets of a mail."""
KEY_MAX = 1_200
"""Characters of a key record; RSA with 4096 bits, more than which nobody need verify (RFC 8301), takes 740."""
BLANKS_MAX = 200
STEP = 65_536
"""Bytes of a body that are made canonical without letting other threads run."""

_BLANKS, _LONG_BLANKS = re.compile(rb"[ \t]{2,}|\t"), re.compile(rb"\s{%d}" % BLANKS_MAX)
_INK = re.compile(rb"[^ \t\r\n]")
_SILENT = logging.getLogger("connectors.email.trust_dkim")
_SILENT.disabled = True  # dkimpy would log addresses and domains
_OF_ARC = re.compile(rb"arc-(?:seal|message-signature|authentication-results)", re.IGNORECASE)


class Body(bytes):
    """A body that remembers its canonical form: every signature of a mail asks for it."""

    relaxed: bytes | None = None


class _Simple(canonicalization.Simple):  # type: ignore[misc]
    """§3.4.3."""

    @staticmethod
    @override
    def canonicalize_body(body: bytes) -> bytes:
        return _end(body)


class _Relaxed(canonicalization.Relaxed):  # type: ignore[misc]
    """§3.4.4."""

    @staticmethod
    @override
    def canonicalize_body(body: bytes) -> bytes:
        made = getattr(body, "relaxed", None)
        if made is None:
            text = _end(b"".join(_steps(body)))
            made = b"" if text == b"\r\n" else text
            if isinstance(body, Body):
                body.relaxed = made
        return bytes(made)


canonicalization.ALGORITHMS.update({b"simple": _Simple, b"relaxed": _Relaxed})


def _steps(body: bytes) -> Iterable[bytes]:
    """Reduce runs of blanks to one space, and to none at the end of a line, in pieces that begin with ink."""
    start = 0
    while start < len(body):
        ink = _INK.search(body, start + STEP)
        end = ink.start() if ink else len(body)
        yield _BLANKS.sub(b" ", body[start:end]).replace(b" \r\n", b"\r\n")
        start = end


def _end(text: bytes) -> bytes:
    """End with exactly one line break, whatever number of empty lines there is."""
    end = len(text)
    for size in (4096, 1):
        while text.endswith(b"\r\n" * size, 0, end):
            end -= 2 * size
    return text[:end] + b"\r\n"


class Signature(Struct, frozen=True):
    """What one DKIM signature is worth, in the words of RFC 8601 §2.7.1, and whose it is."""

    result: str
    domain: str | None = None


class Signed:
    """The signatures of a mail."""

    def __init__(self, head: bytes, body: bytes, dns: Dns, deadline: float) -> None:
        """Take the header and the body, and where to ask for keys until when."""
        self._dns, self._deadline = dns, deadline
        self._no_key = False
        self._body = Body(body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        self._head = head
        self._problem = None if len(head) <= HEADER_MAX and head.count(b"\n") <= FIELDS_MAX * 4 else "neutral"
        self._fields: list[tuple[bytes, bytes]] = []
        if self._problem is None:
            self._parse()

    def _parse(self) -> None:
        try:
            fields, rest = dkim.rfc822_parse(self._head)
        except (dkim.DKIMException, IndexError):
            self._problem = "permerror"  # what dkimpy takes for the header is not what others do
            return
        self._fields = [(name.lower(), value) for name, value in fields]
        if rest.strip() or len(fields) > FIELDS_MAX:
            self._problem = "neutral"

    def dkim(self) -> list[Signature]:
        """Verify the signatures, topmost first; empty where there are none."""
        count = sum(name == b"dkim-signature" for name, _ in self._fields)
        if self._problem is not None:
            present = b"dkim-signature:" in self._head[:HEADER_MAX].lower()
            return [Signature(self._problem)] if present else []
        verifier = self._load(dkim.DKIM)
        return [self._one(verifier, number) for number in range(min(count, SIGNATURES_MAX))]

    def arc(self) -> str:
        """Verify the chain: ``none``, ``pass``, ``fail``, ``temperror``; ``permerror`` where nobody could."""
        sets = [value for name, value in self._fields if _OF_ARC.fullmatch(name)]
        if not sets or self._problem is not None:
            return self._problem if self._problem and b"\narc-seal:" in self._head.lower() else "none"
        if len(sets) > 3 * SETS_MAX or any(map(_oversized, sets)):
            return "permerror"
        verifier = self._load(dkim.ARC)
        return self._tried(
            lambda: {b"pass": "pass", b"none": "none"}.get(verifier.verify(dnsfunc=self._key)[0], "fail")
        )

    def _load(self, kind: type) -> Any:
        verifier = kind(self._head.rstrip(b"\r\n") + b"\r\n\r\n", logger=_SILENT)
        verifier.body = self._body
        return verifier

    def _one(self, verifier: Any, number: int) -> Signature:
        value = [value for name, value in self._fields if name == b"dkim-signature"][number]
        if _oversized(value):
            return Signature("neutral")
        verifier.signature_fields = {}
        result = self._tried(lambda: "pass" if verifier.verify(idx=number, dnsfunc=self._key) else "fail")
        fields = verifier.signature_fields
        if result == "pass" and b"l" in fields:
            result = "policy"  # it lets anybody add to the end of the body (RFC 6376 §8.2)
        return Signature(result, fields.get(b"d", b"").decode("ascii", "replace").lower().rstrip(".") or None)

    def _tried(self, verify: Callable[[], str]) -> str:
        self._no_key = False
        try:
            result = verify()
        except NotNow:
            return "temperror"
        except dkim.ValidationError as exc:
            return "fail" if str(exc).startswith("body hash mismatch") else "permerror"
        except Exception:  # noqa: BLE001 -- dkimpy raises many things on bad signatures and keys, not only its own
            return "permerror"
        return "permerror" if result == "fail" and self._no_key else result

    def _key(self, name: bytes, timeout: float = 0.0) -> bytes | None:
        if time.monotonic() > self._deadline:
            raise NotNow
        texts = self._dns.texts(name.decode("ascii", "replace"), self._deadline)
        key = texts[0] if len(texts) == 1 and len(texts[0]) <= KEY_MAX else None  # several: undefined (§3.6.2.2)
        self._no_key = self._no_key or key is None
        return key


def _oversized(value: bytes) -> bool:
    return len(value) > SIGNATURE_MAX or _LONG_BLANKS.search(value) is not None
