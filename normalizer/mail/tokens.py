"""What the gateway writes into its own mails to recognise the answer, signed so that nobody can guess or forge it.

A token is a letter for its place, the version ``1``, ids and a MAC, in base32 (RFC 4648 §6) without padding and in
lower case: relays change the case of a local part, and mail programs fold long words.

=====  ==========================================  ======================================  ==========
place  stands in                                   carries                                 characters
=====  ==========================================  ======================================  ==========
``m``  Message-ID, ``<m1…@shop.example>``          conversation, message, correspondent    76
``r``  Reply-To, ``support+r1…@shop.example``      conversation, correspondent             50
``b``  return path, ``support+b1…@shop.example``   message                                 47
``k``  the body, ``[ref:k1…]``                     conversation, correspondent             50
=====  ==========================================  ======================================  ==========

The *correspondent* is whom our mail went to, as a keyed hash of 16 bits: enough to see whether an answer comes from
somebody else, and for nobody to learn the address from it.

The MAC is HMAC-SHA-256 (RFC 2104) truncated to 96 bits, over place, version, channel and ids. The channel is not
written but covered: a token is good for the channel that made it. One place's token proves nothing in another place.
A token does not expire, because an answer may come after years; a key that leaked is taken out of the list.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import NamedTuple

VERSION = "1"
KEY_BYTES = 16
"""The shortest key."""
MAC_BYTES = 12
LOCAL_MAX = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1)."""
TRIES = 32
"""Candidates in one text whose MAC is looked at: a hostile mail is full of them."""

_ID_BYTES = 16
_TAG_BYTES = 2
_UNSAID = bytes(_TAG_BYTES)
_CONVERSATION, _MESSAGE = "cnv_", "msg_"
_PLACES = {"m": (_CONVERSATION, _MESSAGE), "r": (_CONVERSATION,), "b": (_MESSAGE,), "k": (_CONVERSATION,)}
_TAGGED = "mrk"
_SIZES = {place: len(shape) * _ID_BYTES + (_TAG_BYTES if place in _TAGGED else 0) for place, shape in _PLACES.items()}
_CHARS = {place: -(-(size + MAC_BYTES) * 8 // 5) for place, size in _SIZES.items()}
_FOUND = {
    place: re.compile(rf"(?<![a-z0-9]){place}{VERSION}([a-z2-7]{{{_CHARS[place]}}})(?![a-z0-9])") for place in "mrb"
}
_MARKER = re.compile(rf"ref:k{VERSION}((?:[\s>]{{0,8}}[a-z2-7]){{{_CHARS['k']}}})", re.IGNORECASE | re.ASCII)
_GAP = re.compile(r"[\s>]+")
_ID = re.compile(r"(cnv_|msg_)([0-9a-f]{32})")


class Token(NamedTuple):
    """What a genuine token says.

    Attributes:
        conversation: ``cnv_…``; None in a return path.
        message: ``msg_…``, the message we sent; None where the place does not carry it.
        correspondent: see `Tokens.is_for`.
    """

    conversation: str | None
    message: str | None
    correspondent: bytes = _UNSAID


class Tokens:
    """Makes and reads tokens; the first key signs, all of them are accepted, so that a key can be replaced."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        """Use `keys`, the newest first; raises `ValueError` for none, or one below `KEY_BYTES`."""
        if not keys or any(len(key) < KEY_BYTES for key in keys):
            raise ValueError(f"a signing key has at least {KEY_BYTES} bytes, and there must be one")
        self._keys = keys

    def message_id(self, channel: str, conversation: str, message_id: str, domain: str, *, to: str = "") -> str:
        """Make the Message-ID, with its angle brackets, of a mail to the address `to`; `ValueError` for strange ids."""
        return f"<{self._make('m', channel, conversation, message_id, to=to)}@{domain}>"

    def read_message_id(self, text: str, channel: str) -> Token | None:
        """Read one id of Message-ID, In-Reply-To or References, with or without brackets and folding space."""
        return self._read("m", _GAP.sub("", text).strip("<").partition("@")[0], channel)

    def reply_address(self, address: str, channel: str, conversation: str, *, to: str = "") -> str:
        """Add ``+token`` to the local part of ours; the address as it is where that has no room for 51 more octets."""
        return _extended(address, self._make("r", channel, conversation, to=to))

    def read_address(self, address: str, channel: str) -> Token | None:
        """Read a recipient's address made by `reply_address`."""
        return self._read("r", address.rpartition("@")[0], channel)

    def return_path(self, address: str, channel: str, message_id: str) -> str:
        """Make the envelope sender (VERP) that tells which mail's bounce comes back; needs room for 48 octets."""
        return _extended(address, self._make("b", channel, message_id))

    def read_return_path(self, address: str, channel: str) -> Token | None:
        """Read the recipient of a bounce, made by `return_path`."""
        return self._read("b", address.rpartition("@")[0], channel)

    def marker(self, channel: str, conversation: str, *, to: str = "") -> str:
        """Make the marker for the body, which survives programs that invent new ids."""
        return f"[ref:{self._make('k', channel, conversation, to=to)}]"

    def find_marker(self, text: str, channel: str) -> Token | None:
        """Find the first genuine marker, also one that was quoted or wrapped."""
        for number, match in enumerate(_MARKER.finditer(text)):
            if number >= TRIES:
                break
            if (token := self._verified("k", _GAP.sub("", match[1]).lower(), channel)) is not None:
                return token
        return None

    def is_for(self, token: Token, address: str) -> bool | None:
        """Tell whether the mail with this token went to `address`; None where the token does not say."""
        if token.correspondent == _UNSAID:
            return None
        return any(hmac.compare_digest(_correspondent(key, address), token.correspondent) for key in self._keys)

    def _make(self, place: str, channel: str, *ids: str, to: str = "") -> str:
        payload = b"".join(_bytes(one, prefix) for one, prefix in zip(ids, _PLACES[place], strict=True))
        if place in _TAGGED:
            payload += _correspondent(self._keys[0], to) if to else _UNSAID
        return f"{place}{VERSION}{_base32(payload + _mac(self._keys[0], place, channel, payload))}"

    def _read(self, place: str, text: str, channel: str) -> Token | None:
        match = _FOUND[place].search(text.lower())
        return self._verified(place, match[1], channel) if match else None

    def _verified(self, place: str, encoded: str, channel: str) -> Token | None:
        """Check the MAC with every key; the text must be what we would write, spare bits included."""
        payload = base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))[:-MAC_BYTES]
        for key in self._keys:
            genuine = _base32(payload + _mac(key, place, channel, payload))
            if hmac.compare_digest(genuine, encoded):
                return _token(place, payload)
        return None


def _token(place: str, payload: bytes) -> Token:
    shape = _PLACES[place]
    found = {prefix: prefix + payload[at * _ID_BYTES : (at + 1) * _ID_BYTES].hex() for at, prefix in enumerate(shape)}
    rest = payload[len(shape) * _ID_BYTES :]
    return Token(found.get(_CONVERSATION), found.get(_MESSAGE), rest or _UNSAID)


def _correspondent(key: bytes, address: str) -> bytes:
    return hmac.digest(key, b"omnigate mail to " + address.strip().lower().encode("utf-8", "replace"), "sha256")[
        :_TAG_BYTES
    ]


def _mac(key: bytes, place: str, channel: str, payload: bytes) -> bytes:
    name = channel.encode("utf-8", "surrogatepass")
    text = b"omnigate mail %b%b %d:%b%b" % (place.encode(), VERSION.encode(), len(name), name, payload)
    return hmac.digest(key, text, "sha256")[:MAC_BYTES]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _bytes(text: str, prefix: str) -> bytes:
    match = _ID.fullmatch(text)
    if match is None or match[1] != prefix:
        raise ValueError(f"{text!r} is no id of ours: {prefix} and 32 hexadecimal digits")
    return bytes.fromhex(match[2])


def _extended(address: str, token: str) -> str:
    local, at, domain = address.rpartition("@")
    longer = f"{local}+{token}"
    return f"{longer}{at}{domain}" if len(longer.encode()) <= LOCAL_MAX and not local.endswith('"') else address
