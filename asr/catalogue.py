"""The public catalogue of Vosk models: https://alphacephei.com/vosk/models/model-list.json.

It is a JSON array of objects; `obsolete` is the word ``true`` or ``false``, `md5` is of the archive, and a SHA-256
stands in ours only. ``catalogue.json`` beside this module has the current models of each language as of 2026, so that
`omnigate models list` needs no network.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from asr.errors import InstallError

PUBLIC_URL = "https://alphacephei.com/vosk/models/model-list.json"
MAX_BYTES = 4_194_304
TIMEOUT_SECS = 30.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Entry(Struct, frozen=True, kw_only=True):
    """A model that can be downloaded, in the words of the catalogue.

    Attributes:
        type: ``small`` (telephones and small servers), ``big``, ``big-lgraph`` (large, takes phrase lists), ``spk``.
    """

    name: str
    url: str
    lang: str = ""
    lang_text: str = ""
    md5: str = ""
    sha256: str = ""
    size: int = 0
    type: str = ""
    version: str = ""
    obsolete: str = "false"

    def speaks(self, language: str) -> bool:
        """Tell whether it is for a language; ``en`` is all kinds of English."""
        return language.lower() in {self.lang.lower(), self.lang.lower().partition("-")[0]}

    @property
    def current(self) -> bool:
        """Whether there is no better one, and it recognises speech."""
        return self.obsolete != "true" and self.type != "spk"


def embedded() -> list[Entry]:
    """Read the catalogue that comes with the gateway."""
    return msgspec.json.decode(Path(__file__).with_name("catalogue.json").read_bytes(), type=list[Entry])


async def fetch(http: aiohttp.ClientSession, url: str) -> list[Entry]:
    """Download a catalogue; raises `InstallError`."""
    check_url(url)
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECS)) as answer:
            if answer.status != 200:
                raise InstallError(f"{url} answered HTTP {answer.status}")
            body = await answer.content.read(MAX_BYTES + 1)
            while len(body) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES)):
                body += more
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise InstallError(f"{url} cannot be read: {str(exc) or type(exc).__name__}") from exc
    if len(body) > MAX_BYTES:
        raise InstallError(f"{url} is larger than {MAX_BYTES} bytes: that is no catalogue")
    try:
        return msgspec.json.decode(body, type=list[Entry])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InstallError(f"{url} is not a catalogue of Vosk models: {exc}") from exc


def choose(entries: Iterable[Entry], wanted: str) -> Entry | None:
    """Find a model by its name, or the smallest current one of a language (``de``; ``en`` finds ``en-us``)."""
    known = list(entries)
    named = next((entry for entry in known if entry.name == wanted), None)
    if named is not None:
        return named
    spoken = [entry for entry in known if entry.current and entry.speaks(wanted)]
    return min(spoken, key=lambda entry: (entry.lang not in {wanted, "en-us"}, entry.size), default=None)


def check_url(url: str, *, proved: bool = False) -> None:
    """Refuse addresses that anybody on the way could answer for, unless the content is `proved` by a SHA-256."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and (proved or parts.hostname in _LOOPBACK)):
        return
    raise InstallError(f"{url}: expected https:// (or http:// together with --sha256)")
