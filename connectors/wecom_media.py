"""Temporary media of WeCom: up and down, the same for apps and customer service.

https://developer.work.weixin.qq.com/document/path/90253
https://developer.work.weixin.qq.com/document/path/90254
"""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.errors import Refused, SendError
from connectors.http import Answer, TooLarge
from connectors.multipart import post_form
from connectors.wecom_api import Uploaded, in_json, refusal, result
from connectors.wecom_client import WecomClient
from normalizer.parts import Media, MediaPart
from normalizer.raw import Wire

KEPT = timedelta(days=3)
JSON_SPARE = 65_536
"""Room for an error, where less than that is allowed for the file itself."""
MEGABYTE = 1024 * 1024
LEAST = 5
"""A file must be larger than this many bytes."""


class Limit(Struct, frozen=True):
    """What WeCom takes as one type of media.

    Attributes:
        type: the `type` of the upload.
        max_bytes: of the file.
        mimes: of the formats; none named: any.
    """

    type: str
    max_bytes: int
    mimes: frozenset[str] = frozenset()


LIMITS = {
    "image": Limit("image", 10 * MEGABYTE, frozenset({"image/png", "image/jpeg"})),
    "audio": Limit("voice", 2 * MEGABYTE, frozenset({"audio/amr"})),
    "video": Limit("video", 10 * MEGABYTE, frozenset({"video/mp4"})),
    "file": Limit("file", 20 * MEGABYTE),
}
"""Part type → limits; a voice may last a minute."""

SIZES = {tag: limit.max_bytes for tag, limit in LIMITS.items()}
"""Part type → largest file, for `Capabilities.media`."""


async def upload(client: WecomClient, part: MediaPart, content: Fetched) -> Media:
    """Upload a file; returns its media with WeCom's id and when that ends.

    Raises:
        Refused: WeCom takes no such files; `TooLarge`, none of this size.
        SendError: by WeCom's answer.
    """
    tag = str(part.__struct_config__.tag)
    limit = LIMITS.get(tag)
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower()
    if limit is None or (limit.mimes and mime and mime not in limit.mimes):
        takes = ", ".join(sorted(limit.mimes)) if limit else "none"
        raise Refused(f"WeCom takes no {tag} of this type; it takes {takes}")
    if len(content.data) > limit.max_bytes:
        raise TooLarge(f"WeCom takes {tag} of at most {limit.max_bytes} bytes")
    if len(content.data) <= LEAST:
        raise Refused(f"WeCom takes no file of {LEAST} bytes or less")
    file = Fetched(data=content.data, mime=mime or None, name=_name(content.name or part.media.name, limit.type, mime))
    wire = post_form(f"/cgi-bin/media/upload?type={limit.type}", {}, {"media": file})
    told = result(await client.call(wire), Uploaded)
    if not told.media_id:
        raise Refused("WeCom gave the file no media_id")
    return replace(part.media, provider_id=told.media_id, expires_at=_until(told.created_at))


def _name(name: str | None, kind: str, mime: str) -> str:
    """Name a file; readers see the name of a `file`, and WeCom knows formats by the extension."""
    extension = ".amr" if mime == "audio/amr" else mimetypes.guess_extension(mime) or ""
    if kind == "file" and name:
        return name if "." in name else name + extension
    return kind + extension


def _until(created: int | str) -> datetime | None:
    digits = str(created)
    return datetime.fromtimestamp(int(digits), UTC) + KEPT if digits.isdecimal() and 0 < int(digits) < 2**40 else None


async def download(client: WecomClient, media: Media, *, max_bytes: int) -> Fetched:
    """Download a file by its media_id.

    Raises:
        TooLarge: more than `max_bytes`.
        Refused: WeCom has it no more.
        SendError: by WeCom's answer.
    """
    wire = Wire(method="GET", url=f"/cgi-bin/media/get?{urlencode({'media_id': media.provider_id or ''})}")
    answer = await client.call(wire, max_bytes=max(max_bytes, JSON_SPARE), check=_check)
    if len(answer.body) > max_bytes:
        raise TooLarge(f"the file is larger than {max_bytes} bytes")
    return Fetched(data=answer.body, mime=_mime(answer), name=_filename(answer))


def _check(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    told: dict[str, Any] | None = in_json(answer)
    return refusal(answer, hide) if told is not None or not answer.ok else None


def _mime(answer: Answer) -> str | None:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None


def _filename(answer: Answer) -> str | None:
    _, found, rest = answer.headers.get("Content-disposition", "").partition("filename=")
    return unquote(rest.strip().strip('"')) or None if found else None
