"""Temporary media of WeChat: up and down.

https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html
https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.errors import Refused, SendError
from connectors.http import Answer, TooLarge
from connectors.multipart import post_form
from connectors.wechat_api import Uploaded, in_json, refusal, result
from connectors.wechat_client import WechatClient
from connectors.wechat_config import CAPABILITIES
from normalizer.codecs.wechat_content import MEDIA_DAYS
from normalizer.parts import Media, MediaPart
from normalizer.raw import Wire

JSON_SPARE = 65_536
"""Room for an error or a video's URL, where less than that is allowed for the file itself."""


class Limit(Struct, frozen=True):
    """What WeChat takes as one type of media.

    Attributes:
        type: the `type` of the upload.
        max_bytes: of the file.
        mimes: of the formats.
    """

    type: str
    max_bytes: int
    mimes: frozenset[str]


LIMITS = {
    "image": Limit(
        "image", CAPABILITIES.media["image"], frozenset({"image/png", "image/jpeg", "image/gif", "image/bmp"})
    ),
    "audio": Limit("voice", CAPABILITIES.media["audio"], frozenset({"audio/amr", "audio/mpeg", "audio/mp3"})),
    "video": Limit("video", CAPABILITIES.media["video"], frozenset({"video/mp4"})),
}
"""Part type → limits; a voice may last a minute."""

_EXTENSIONS = {"audio/amr": ".amr", "audio/mpeg": ".mp3", "audio/mp3": ".mp3", "image/jpeg": ".jpg"}


async def upload(client: WechatClient, part: MediaPart, content: Fetched) -> Media:
    """Upload a file; returns its media with WeChat's id and when that ends.

    Raises:
        Refused: WeChat takes no such files; `TooLarge`, none of this size.
        SendError: by WeChat's answer.
    """
    tag = str(part.__struct_config__.tag)
    limit = LIMITS.get(tag)
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower()
    if limit is None or (mime and mime not in limit.mimes):
        takes = ", ".join(sorted(limit.mimes)) if limit else "none"
        raise Refused(f"WeChat takes no {tag} of this type; it takes {takes}")
    if len(content.data) > limit.max_bytes:
        raise TooLarge(f"WeChat takes {tag} of at most {limit.max_bytes} bytes")
    name = _name(content.name or part.media.name or "", limit.type, mime)
    file = Fetched(data=content.data, mime=mime or None, name=name)
    wire = post_form(f"/cgi-bin/media/upload?type={limit.type}", {}, {"media": file})
    told = result(await client.call(wire), Uploaded)
    if not told.media_id:
        raise Refused("WeChat gave the file no media_id")
    until = datetime.fromtimestamp(told.created_at, UTC) + MEDIA_DAYS if told.created_at else None
    return replace(part.media, provider_id=told.media_id, expires_at=until)


def _name(name: str, kind: str, mime: str) -> str:
    """Name a file: nobody sees the name, but WeChat knows formats by its extension."""
    _, dot, extension = name.rpartition(".")
    told = f".{extension}" if dot and extension.isascii() and extension.isalnum() else ""
    return kind + (_EXTENSIONS.get(mime) or mimetypes.guess_extension(mime) or told)


async def download(
    client: WechatClient,
    media: Media,
    *,
    max_bytes: int,
    fetch_url: Callable[[str], Awaitable[Fetched]],
) -> Fetched:
    """Download a file by its media_id; of a video WeChat gives a URL, which `fetch_url` fetches.

    Raises:
        TooLarge: more than `max_bytes`.
        Refused: WeChat has it no more.
        SendError: by WeChat's answer.
    """
    wire = Wire(method="GET", url=f"/cgi-bin/media/get?{urlencode({'media_id': media.provider_id or ''})}")
    answer = await client.call(wire, max_bytes=max(max_bytes, JSON_SPARE), check=_check)
    told = in_json(answer)
    url = told.get("video_url") if told is not None else None
    if isinstance(url, str) and url:
        return await fetch_url(url)
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
    return rest.strip().strip('"') or None if found else None
