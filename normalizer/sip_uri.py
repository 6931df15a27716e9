"""Reading SIP names and headers (RFC 3261 §19.1, §20, §7.3); tolerant, as what is written here came from strangers."""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

COMPACT = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
}
"""Short names of headers (RFC 3261 §7.3.3)."""
MOST = 256
"""Longest name or user part that is believed."""
_URI = re.compile(
    r"(?P<scheme>sips?|tel):(?:(?P<user>[^@;?>\s]*)@)?(?P<host>\[[0-9a-f:.]+\]|[^;?:>\s]*)(?::(?P<port>\d{1,5}))?"
    r"(?P<rest>[^>\s]*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\+[1-9][0-9]{5,14}")
_VISUAL = re.compile(r"[\s().-]")
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]")


class NameAddr(Struct, frozen=True, kw_only=True):
    """A name and a URI, as in From and To.

    Attributes:
        scheme: ``sip``, ``sips`` or ``tel``.
        user: decoded; empty where there is none. Of a tel URI the number.
        params: of the URI, names in lower case.
        tag: the header's parameter `tag`.
    """

    name: str = ""
    scheme: str = "sip"
    user: str = ""
    host: str = ""
    port: int | None = None
    params: dict[str, str] = {}
    tag: str = ""

    @property
    def number(self) -> str | None:
        """The telephone number in E.164 form (``+4930123456``), where it is one."""
        digits = _VISUAL.sub("", self.user)
        return digits if _NUMBER.fullmatch(digits) else None

    @property
    def address(self) -> str:
        """What is told apart: ``user@host``, without port and parameters; of a tel URI the number."""
        if self.scheme == "tel":
            return self.user
        host = self.host.lower()
        return f"{self.user}@{host}" if self.user else host


def parse(text: str) -> NameAddr | None:
    """Read a name-addr, an addr-spec or a URI; None for what is none."""
    name, rest = _display(text.strip())
    inner, bracket, after = rest.partition(">")
    found = _URI.match(inner.removeprefix("<").strip())
    if found is None:
        return None
    uri = inner if bracket else inner.partition(";tag=")[0]
    params = _params(found["rest"].partition("?")[0])
    tag = _params(after).get("tag") or ("" if bracket else params.pop("tag", ""))
    scheme = found["scheme"].lower()
    user, host = unquote(found["user"] or ""), found["host"]
    if scheme == "tel":
        user, host = unquote(uri.partition(":")[2].partition(";")[0]), ""
    if scheme != "tel" and not host:
        return None
    port = int(found["port"]) if found["port"] else None
    return NameAddr(
        name=_clean(name), scheme=scheme, user=_clean(user), host=_clean(host), port=port, params=params, tag=tag
    )


def _display(text: str) -> tuple[str, str]:
    """Split a display name from what follows."""
    if text.startswith('"'):
        end = 1
        while end < len(text) and text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        return re.sub(r"\\(.)", r"\1", text[1:end]), text[end + 1 :].strip()
    name, bracket, rest = text.partition("<")
    return (name.strip(), bracket + rest) if bracket else ("", text)


def _params(text: str) -> dict[str, str]:
    pairs = (one.partition("=") for one in text.split(";") if one.strip())
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("", text)[:MOST]


def headers(message: str) -> dict[str, list[str]]:
    """Read the headers of a message: name in lower case and full → values in order, folded lines put together."""
    head = re.split(r"\r?\n\r?\n", message, maxsplit=1)[0]
    unfolded = re.sub(r"\r?\n[ \t]+", " ", head)
    found: dict[str, list[str]] = {}
    for line in unfolded.splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            found.setdefault(COMPACT.get(name, name), []).append(value.strip())
    return found


def quoted(name: str) -> str:
    """Write a display name as a quoted string."""
    return '"' + re.sub(r'(["\\])', r"\\\1", _clean(name)) + '"'
