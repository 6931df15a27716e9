"""Header fields on their way out: encoded words (RFC 2047), parameters (RFC 2231), addresses, ids, folding.

Whatever goes in, one field comes out: control characters, line breaks among them, become spaces. Python's `email`
would do most of it, but encodes a Message-ID beyond the line length as if it were words, which ends a thread.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from normalizer.mail.address import Mailbox

LINE = 76
"""Characters of a line with encoded words (RFC 2047 §2); other lines stay below the 78 of RFC 5322 §2.1.1 by it."""
VALUE_MAX = 2_000
"""Characters of a text in a field; more is cut."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SPECIAL = re.compile(r"[()<>\[\]:;@\\,.\"]")
_LOCAL = r"(?:[^\s@<>,;:()\[\]\\\"]{1,64}|\"(?:[^\"\\]|\\[^\s]){1,62}\")"
_ADDRESS = re.compile(rf"({_LOCAL})@([^\s@<>,;:()\\\"]{{1,255}})")
_WORD_OVERHEAD = len("=?utf-8?b??=")
_PARAMETER = 60  # characters of a value, per line


def one_line(text: str) -> str:
    """Squeeze a text into one line without control characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:VALUE_MAX]


def field(name: str, value: str) -> bytes:
    """Join a field from a value that is folded already."""
    return f"{name}: {value}\r\n".encode()


def text(name: str, value: str) -> bytes:
    """Make an unstructured field, such as Subject."""
    value = one_line(value)
    words = value.split(" ")
    if value.isascii() and "=?" not in value and max(map(len, words)) < LINE - len(name):
        return field(name, folded(words, used=len(name) + 2))
    return field(name, "\r\n ".join(_encoded(value, used=len(name) + 2)))


def folded(words: Iterable[str], *, used: int) -> str:
    """Join words by spaces, with a line break where the line would get too long; `used` characters are on the first."""
    out: list[str] = []
    for word in words:
        fits = used + len(word) + 1 <= LINE
        if out:
            out.append(" " if fits else "\r\n ")
            used = used + 1 if fits else 1
        out.append(word)
        used += len(word)
    return "".join(out)


def _encoded(value: str, *, used: int = 0) -> Iterator[str]:
    """Cut a text into encoded words, never inside a character."""
    room = (LINE - max(used, 1) - _WORD_OVERHEAD) // 4 * 3
    chunk = b""
    for char in value:
        data = char.encode()
        if len(chunk) + len(data) > room:
            yield _word(chunk)
            room, chunk = (LINE - 1 - _WORD_OVERHEAD) // 4 * 3, b""
        chunk += data
    yield _word(chunk)


def _word(data: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(data).decode()}?="


def address(raw: str) -> str:
    """Return an address in the form for the wire: the domain in ASCII (IDNA), the local part as it is.

    Raises:
        ValueError: it is no address. The text goes to whoever asked to send.
    """
    match = _ADDRESS.fullmatch(raw.strip())
    if match is None or _CONTROL.search(raw):
        raise ValueError(f"{one_line(raw)[:100]!r} is no mail address")
    local, domain = match[1], match[2].rstrip(".")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{one_line(domain)[:100]!r} is no domain") from None
    if not domain:
        raise ValueError(f"{one_line(raw)[:100]!r} has no domain")
    return f"{local}@{domain}"


def addresses(name: str, boxes: Iterable[Mailbox]) -> bytes:
    """Make an address list; the addresses must come from `address`."""
    shown = [_mailbox(box) for box in boxes]
    pieces = [word for one in shown[:-1] for word in f"{one},".split(" ")] + shown[-1].split(" ")
    return field(name, folded(pieces, used=len(name) + 2))


def _mailbox(box: Mailbox) -> str:
    name = one_line(box.name)[:200]
    if not name:
        return box.address
    if not name.isascii() or "=?" in name:
        return f"{' '.join(_encoded(name))} <{box.address}>"
    if _SPECIAL.search(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{quoted}"'
    return f"{name} <{box.address}>"


def ids(name: str, values: Iterable[str]) -> bytes:
    """Make a field of Message-IDs (without brackets), one per line: an id is never cut."""
    return field(name, "\r\n ".join(f"<{value}>" for value in values))


def parameter(name: str, value: str) -> str:
    """Make a parameter, with the semicolon before it; RFC 2231 where it is long or not ASCII."""
    value = one_line(value)
    if value.isascii() and len(value) <= _PARAMETER and '"' not in value and "\\" not in value:
        return f';\r\n {name}="{value}"'
    encoded = quote(value, safe="")
    if len(encoded) <= _PARAMETER:
        return f";\r\n {name}*=utf-8''{encoded}"
    # Cutting inside %XX is not allowed in every reader; so cut between.
    pieces = re.findall(rf"(?:%..|[^%]){{1,{_PARAMETER // 3}}}", encoded)
    first = f";\r\n {name}*0*=utf-8''{pieces[0]}"
    return first + "".join(f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces[1:], 1))
