"""Address lists (RFC 5322 §3.4), read from text as leniently as mail programs write it."""

from __future__ import annotations

import re
from typing import NamedTuple

from normalizer.mail.headers import words

LIMIT = 500
"""Addresses taken from one field; what a longer one adds is only in the raw mail."""

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([,;:<>()])|([^",;:<>()]+|")', re.DOTALL)
_SPACE = re.compile(r"\s+")


class Mailbox(NamedTuple):
    """A name, maybe empty, and an address as written, ``local@domain``."""

    name: str
    address: str

    @property
    def key(self) -> str:
        """The address for comparisons: lower case, because nobody runs two mailboxes that differ in case alone."""
        return self.address.lower()


class _Reader:
    """Collects one mailbox at a time from a stream of tokens."""

    def __init__(self) -> None:
        self.found: list[Mailbox] = []
        self._clear()

    def _clear(self) -> None:
        self.phrase: list[str] = []
        self.bare = ""
        self.angle: list[str] | None = None
        self.closed = ""
        self.comments: list[str] = []
        self.depth = 0

    def quoted(self, text: str, source: str) -> None:
        if self.depth:
            self.comments.append(text)
        elif self.angle is not None:
            self.angle.append(source)
        else:
            self.phrase.append(re.sub(r"\\(.)", r"\1", text))
            self.bare += source

    def plain(self, text: str) -> None:
        if self.depth:
            self.comments.append(text)
        elif self.angle is not None:
            self.angle.append(text)
        else:
            self.phrase.append(text)
            self.bare += text

    def special(self, char: str) -> None:
        if char == "(":
            self.depth += 1
        elif char == ")":
            self.depth = max(0, self.depth - 1)
        elif self.depth:
            self.comments.append(char)
        elif self.angle is not None:
            self._inside(char)
        elif char == "<":
            self.angle = []
        elif char == ":":
            self._clear()  # the name of a group
        elif char in ",;":
            self.flush()

    def _inside(self, char: str) -> None:
        if char == ">" and self.angle is not None:
            self.closed = "".join(self.angle) or self.closed
            self.angle = None
        elif char == ":":
            self.angle = []  # a source route: what counts comes after the colon
        elif char == "<":
            self.angle = []
        elif char in ",;":
            self.plain(char)

    def flush(self) -> None:
        if self.angle:
            self.closed = "".join(self.angle)
        address = self.closed or self.bare
        name = "".join(self.phrase) if self.closed else "".join(self.comments)
        address = _SPACE.sub("", address) if '"' not in address else address.strip()
        if "@" in address.strip("@"):
            self.found.append(Mailbox(_SPACE.sub(" ", words(name)).strip(" '\""), address))
        self._clear()


def addresses(text: str) -> list[Mailbox]:
    """Read a field; encoded words are decoded after it is taken apart, so that a name cannot forge an address."""
    reader = _Reader()
    for match in _TOKEN.finditer(text):
        if match[2]:
            reader.special(match[2])
        elif match[3] is not None:
            reader.plain(match[3])
        else:
            reader.quoted(match[1] or "", match[0])
        if len(reader.found) >= LIMIT:
            return reader.found
    reader.flush()
    return reader.found
