"""What IMAP looks like on the wire: strings, folder names, sets of UIDs, answers (RFC 3501)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_UID = re.compile(rb"\bUID (\d+)")
_BODY = re.compile(rb'BODY\[[^\]]*\](?:<\d+>)? (?:"((?:[^"\\]|\\.)*)"|NIL|\{0\}$)')
_LITERAL = re.compile(rb"BODY\[[^\]]*\](?:<\d+>)? \{\d+\}$")
_CODE = re.compile(rb"\[([A-Z-]+)(?: ([^\]]*))?\]", re.IGNORECASE)
_EXISTS = re.compile(rb"(\d+) EXISTS")
_SHIFTED = re.compile(r"[^\x20-\x7e]+")


class Selected(Struct, frozen=True):
    r"""What SELECT or EXAMINE answered.

    Attributes:
        validity: UIDVALIDITY; a UID means the same mail as long as this is the same (§2.3.1.1).
        next_uid: what the next mail will get at the earliest; 0 where the server does not tell.
        exists: mails in the folder.
        keeps: flags and keywords that can be stored for good; ``\*`` stands for any keyword.
    """

    validity: int
    next_uid: int
    exists: int
    keeps: frozenset[str]


def quoted(text: str) -> str:
    """Write a quoted string (§4.3); raises `ValueError` for what cannot be in one."""
    if any(char in text for char in "\r\n\0"):
        raise ValueError("a line break or NUL cannot be part of a name or password")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def folder_name(name: str) -> str:
    """Write a folder's name as an argument: modified UTF-7 (§5.1.3), quoted."""
    return quoted(_SHIFTED.sub(lambda match: _shift(match[0]), name.replace("&", "&-")))


def _shift(text: str) -> str:
    data = b64encode(text.encode("utf-16-be", "surrogatepass")).decode().rstrip("=")
    return f"&{data.replace('/', ',')}-"


def uid_set(uids: Iterable[int]) -> str:
    """Write a set of UIDs in short: ``3:5,9``."""
    numbers = sorted(set(uids))
    if not numbers:
        raise ValueError("an empty set of UIDs cannot be written")
    breaks = [index for index, (one, after) in enumerate(pairwise(numbers), 1) if after != one + 1]
    runs = [numbers[start:end] for start, end in pairwise([0, *breaks, len(numbers)])]
    return ",".join(f"{run[0]}:{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def search_result(lines: Sequence[bytes | bytearray]) -> list[int]:
    """Read the numbers of SEARCH answers, ascending."""
    words = [word for line in lines[:-1] for word in bytes(line).split()]  # the last line is the server's remark
    return sorted({int(word) for word in words if word.isdigit()})


def fetched(lines: Sequence[bytes | bytearray]) -> bytes | bytearray | None:
    """Read the body in the answer to a FETCH of one mail; None where the mail is not there (any more).

    The server may put flags of other mails between, and may write a short body as a quoted string.
    """
    data: bytes | bytearray | None = None
    for line, following in pairwise([*lines, b""]):
        if isinstance(line, bytearray):
            continue
        if isinstance(following, bytearray) and _LITERAL.search(line):
            data = following
        elif (short := _BODY.search(line)) is not None:
            data = re.sub(rb"\\(.)", rb"\1", short[1] or b"")
    return data


def sizes(lines: Sequence[bytes | bytearray]) -> dict[int, int]:
    """Read UID → RFC822.SIZE in the answer to a FETCH."""
    pairs = [(_UID.search(line), _SIZE.search(line)) for line in lines]
    return {int(uid[1]): int(size[1]) for uid, size in pairs if uid is not None and size is not None}


def selected(lines: Sequence[bytes | bytearray]) -> Selected:
    """Read the answer to SELECT or EXAMINE; `validity` is 0 where the server gives none."""
    codes: dict[str, str] = {}
    exists = 0
    for line in lines:
        for name, value in _CODE.findall(bytes(line)):
            codes[name.decode("ascii").upper()] = value.decode("ascii", "replace").strip()
        if (count := _EXISTS.fullmatch(bytes(line).strip())) is not None:
            exists = int(count[1])
    flags = codes.get("PERMANENTFLAGS", "").strip("()").split()
    return Selected(
        validity=_number(codes.get("UIDVALIDITY")),
        next_uid=_number(codes.get("UIDNEXT")),
        exists=exists,
        keeps=frozenset(flag.lower() for flag in flags),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
