"""Files of visitors: taken by HTTP, judged by their content, named in a message afterwards.

A file is in the blob store when its upload is answered, and what it is stands in the channel's state for a day, so that
any node knows it. It is for the conversation it was uploaded in only.
"""

from __future__ import annotations

import secrets

import msgspec

from connectors.chat.kit import Kit
from connectors.errors import Busy
from connectors.media_types import UNKNOWN, TypeRefused, check_type, type_of
from normalizer import ids, rpc
from normalizer.codecs.chat_types import Content, SaidFile
from normalizer.parts import Media
from normalizer.rpc import RpcError

KEEP_SECS = 86_400.0
NAME_MAX = 200
_TEXTS = ("text/plain", "text/csv")


class Unfit(Exception):
    """A file of a type the channel does not take."""


class Files:
    """See the module."""

    def __init__(self, kit: Kit) -> None:
        """Store in the blobs of `kit`."""
        self._kit = kit

    async def take(self, feed: str, data: bytes, *, declared: str | None, name: str | None) -> dict[str, object]:
        """Store a file and return what the client is answered.

        Raises:
            Unfit: the type is not allowed, or nobody knows it.
            Busy: the disk is full.
            StateUnavailable: nobody can remember it now.
        """
        name = clean_name(name)
        mime = self._judged(data, declared, name)
        try:
            ref = await self._kit.context.blobs.put(data)
        except OSError as exc:
            raise Busy(30.0, "the file cannot be stored") from exc
        url, until = self._kit.context.link(ref, mime=mime, name=name)
        file = "file_" + secrets.token_urlsafe(16)
        media = Media(
            id=ids.media_id(self._kit.context.channel.id, file),
            status="stored",
            sha256=ref.removeprefix("sha256:"),
            size=len(data),
            mime=mime,
            name=name,
            url=url,
            expires_at=until,
        )
        await self._kit.context.state.put(_key(feed, file), msgspec.json.encode(media), ttl=KEEP_SECS)
        kind = mime.partition("/")[0]
        kind = kind if kind in {"image", "audio", "video"} else "file"
        return {"file": file, "mime": mime, "size": len(data), "name": name, "type": kind}

    async def named(self, feed: str, said: Content) -> dict[str, Media]:
        """Look up the files a message names; raises `RpcError` (media unavailable), `StateUnavailable`."""
        found = {}
        for part in said.content:
            if isinstance(part, SaidFile) and part.file not in found:
                stored = await self._kit.context.state.get(_key(feed, part.file))
                if stored is None:
                    raise RpcError(rpc.MEDIA_UNAVAILABLE, "this `file` is not known (any more): upload it again")
                found[part.file] = msgspec.json.decode(stored, type=Media)
        return found

    def _judged(self, data: bytes, declared: str | None, name: str | None) -> str:
        """Say what the bytes are; a declared text is one when it can be read as such and a browser takes it for one."""
        said = (declared or "").partition(";")[0].strip().lower()
        mime = type_of(data) or (said if said in _TEXTS and _is_text(data) else UNKNOWN)
        if mime.startswith("application/") and said.startswith(("application/", "audio/", "video/")):
            mime = type_of(data, said) or mime  # a Word file is a ZIP, too
        try:
            check_type(mime, name, ())
            check_type(mime, name, self._kit.config.upload_types)
        except TypeRefused as exc:
            raise Unfit(str(exc)) from None
        return mime


def clean_name(name: str | None) -> str | None:
    """Keep of a file's name what can be shown: the last part of a path, no control characters."""
    bare = (name or "").replace("\\", "/").rpartition("/")[2]
    bare = "".join(char for char in bare if char.isprintable()).strip()
    return bare[-NAME_MAX:] or None


def _key(feed: str, file: str) -> str:
    return f"file:{feed}:{file}"


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return not any(char < " " and char not in "\t\n\r\f" for char in text)
