"""Is a mail signed or encrypted (S/MIME, RFC 8551; OpenPGP, RFC 3156, RFC 9580)? Recognised and kept, not verified."""

from __future__ import annotations

import re
from typing import NamedTuple

from normalizer.mail import cms
from normalizer.mail.mime import Entity

PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})

_ENCRYPTED = {"enveloped-data", "authenveloped-data"}
_ARMOR = re.compile(r"^-----BEGIN PGP (SIGNED )?MESSAGE-----\s*$", re.MULTILINE)
_CLEAR, _SIGNATURE, _END = (
    *("-----BEGIN PGP SIGNED MESSAGE-----\n", "\n-----BEGIN PGP SIGNATURE-----"),
    "-----END PGP SIGNATURE-----",
)
_ARMOR_HEADERS = re.compile(r"(?:[A-Za-z-]{1,40}:[^\n]*\n)*\n")
_DASH_ESCAPE = re.compile(r"^- ", re.MULTILINE)


class Protection(NamedTuple):
    """What was done to a mail; both may be true."""

    signed: bool
    encrypted: bool


def protection(root: Entity, text: str) -> Protection:
    """Look at the structure of a mail, and at the armor in its text."""
    signed = encrypted = False
    waiting = [root]
    while waiting:
        entity = waiting.pop()
        waiting += entity.children
        found = _of(entity)
        signed, encrypted = signed or found == "signed", encrypted or found == "encrypted"
    for armor in _ARMOR.finditer(text):
        signed, encrypted = signed or bool(armor[1]), encrypted or not armor[1]
    return Protection(signed, encrypted)


def _of(entity: Entity) -> str:
    if entity.mime in {"multipart/signed", "multipart/encrypted"}:
        return entity.mime.partition("/")[2]
    if entity.mime not in PKCS7:
        return ""
    declared = entity.params.get("smime-type", "").strip().lower()
    if declared in _ENCRYPTED:
        return "encrypted"
    return "signed" if declared == "signed-data" else cms.kind(entity.payload(256))


def clear(text: str) -> str:
    """Take the armor off clear-signed text (RFC 9580 §7), dash-escapes undone; text around it stays."""
    out: list[str] = []
    position = 0
    while (begin := text.find(_CLEAR, position)) >= 0:
        start = begin + len(_CLEAR)
        stop = text.find(_SIGNATURE, start - 1)
        if stop < 0:
            break
        end = text.find(_END, stop)
        headers = _ARMOR_HEADERS.match(text, start)
        signed = text[headers.end() if headers else start : stop]
        out += [text[position:begin], _DASH_ESCAPE.sub("", signed)]
        position = len(text) if end < 0 else end + len(_END)
    return "".join([*out, text[position:]])
