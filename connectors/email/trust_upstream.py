"""Results that the mail server in front has written down: Authentication-Results (RFC 8601)."""

from __future__ import annotations

import re

from msgspec import Struct

METHODS = ("dkim", "spf", "dmarc", "arc")
RESULTS = ("none", "pass", "fail", "policy", "neutral", "softfail", "temperror", "permerror")
"""§2.7, for the methods above; Microsoft's ``bestguesspass`` of DMARC is no result of any check, and left out."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[();]|[^"\\();]+|["\\]', re.DOTALL)
_RESULT = re.compile(r"([a-z][a-z0-9-]*)(?:/\d+)?\s*=\s*([a-z]+)", re.IGNORECASE)
_DOMAIN = {
    "dkim": re.compile(r"\bheader\.(?:d|i)\s*=\s*\"?(?:[^\s\"@]*@)?([^\s\";]+)", re.IGNORECASE),
    "spf": re.compile(r"\bsmtp\.(?:mailfrom|helo)\s*=\s*\"?(?:[^\s\"@]*@)?([^\s\";]+)", re.IGNORECASE),
}


class Line(Struct, frozen=True):
    """One method's result; `domain` is whom it is about, where the server says so."""

    method: str
    result: str
    domain: str | None = None


def read(value: str, authserv_id: str) -> list[Line]:
    """Return what a header says, nothing where it is not by the server of that name.

    Args:
        value: of the topmost Authentication-Results field, unfolded.
        authserv_id: the name; empty for a server that writes none.
    """
    first, *rest = _statements(value)
    if authserv_id:
        name = first.split()[:1]  # a version number may follow
        if [one.lower() for one in name] != [authserv_id.lower()]:
            return []
    elif _RESULT.match(first):
        rest.insert(0, first)
    else:
        return []  # somebody's name
    return [line for statement in rest if (line := _line(statement)) is not None]


def _statements(value: str) -> list[str]:
    """Split at semicolons, comments (which may be nested) left out."""
    found, depth = [""], 0
    for piece in _PIECE.findall(value):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(0, depth - 1)
        elif depth:
            continue
        elif piece == ";":
            found.append("")
        else:
            found[-1] += piece
    return [one.strip() for one in found]


def _line(statement: str) -> Line | None:
    match = _RESULT.match(statement)
    if match is None or match[1].lower() not in METHODS or match[2].lower() not in RESULTS:
        return None
    method = match[1].lower()
    domain = _DOMAIN[method].search(statement, match.end()) if method in _DOMAIN else None
    return Line(method, match[2].lower(), domain[1].lower().rstrip(".") if domain else None)
