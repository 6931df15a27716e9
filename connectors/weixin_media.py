"""Temporary media of WeChat and WeCom: up and down.

https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html
https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html
https://developer.work.weixin.qq.com/document/path/90253
https://developer.work.weixin.qq.com/document/path/90254
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote, urlencode

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Fetched
from connectors.errors import Refused, SendError
from connectors.http import Answer, TooLarge
from connectors.multipart import post_form
from connectors.weixin_api import Uploaded, in_json
from connectors.weixin_client import WeixinClient
from normalizer.codecs.wechat_content import MEDIA_DAYS
from normalizer.parts import Media, MediaPart
from normalizer.raw import Wire

JSON_SPARE = 65_536
"""Room for an error or a video's URL, where less than that is allowed for the file itself."""
_EXTENSIONS = {"audio/amr": ".amr", "audio/mpeg": ".mp3", "audio/mp3": ".mp3", "image/jpeg": ".jpg"}


class Limit(Struct, frozen=True):
    """What a platform takes as one type of media.

    Attributes:
        type: the `type` of the upload.
        max_bytes: of the file.
        mimes: of the formats; none named: any.
        min_bytes: of the file.
    """

    type: str
    max_bytes: int
    mimes: frozenset[str] = frozenset()
    min_bytes: int = 0


async def upload(client: WeixinClient, part: MediaPart, content: Fetched, limits: Mapping[str, Limit]) -> Media:
    """Upload a file; returns its media with the platform's id and when that ends.

    Args:
        client: the API.
        part: what the file is a part of.
        content: the file.
        limits: part type → what is taken.

    Raises:
        Refused: no such files are taken; `TooLarge`, none of this size.
        SendError: by the answer.
    """
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower()
    limit = _limit(client.access.provider, part, mime, len(content.data), limits)
    file = Fetched(data=content.data, mime=mime or None, name=_name(content.name or part.media.name, limit.type, mime))
    told = await client.ask(post_form(f"/cgi-bin/media/upload?type={limit.type}", {}, {"media": file}), Uploaded)
    if not told.media_id:
        raise Refused(f"{client.access.provider} gave the file no media_id")
    return replace(part.media, provider_id=told.media_id, expires_at=_until(told.created_at))


def _limit(provider: str, part: MediaPart, mime: str, size: int, limits: Mapping[str, Limit]) -> Limit:
    tag = str(part.__struct_config__.tag)
    limit = limits.get(tag)
    if limit is None or (limit.mimes and mime and mime not in limit.mimes):
        takes = ", ".join(sorted(limit.mimes)) if limit else "none"
        raise Refused(f"{provider} takes no {tag} of this type; it takes {takes}")
    if size > limit.max_bytes:
        raise TooLarge(f"{provider} takes {tag} of at most {limit.max_bytes} bytes")
    if size < limit.min_bytes:
        raise Refused(f"{provider} takes no file of less than {limit.min_bytes} bytes")
    return limit


def _name(name: str | None, kind: str, mime: str) -> str:
    """Name a file: formats are known by its extension; but for a `file` nobody sees the rest of the name."""
    _, dot, extension = (name or "").rpartition(".")
    told = f".{extension}" if dot and extension.isascii() and extension.isalnum() else ""
    usual = _EXTENSIONS.get(mime) or mimetypes.guess_extension(mime) or told
    if kind == "file" and name:
        return name if dot else name + usual
    return kind + usual


def _until(created: int | str) -> datetime | None:
    digits = str(created)
    known = digits.isdecimal() and 0 < int(digits) < 2**40
    return datetime.fromtimestamp(int(digits), UTC) + MEDIA_DAYS if known else None


async def download(
    client: WeixinClient,
    media: Media,
    *,
    max_bytes: int,
    fetch_url: Callable[[str], Awaitable[Fetched]] | None = None,
) -> Fetched:
    """Download a file by its media_id.

    Args:
        client: the API.
        media: the file.
        max_bytes: the largest that is wanted.
        fetch_url: WeChat gives a URL of a video, which this fetches. Without it files may be JSON themselves, as
            WeCom's may; they have a `Content-disposition`, and errors have none.

    Raises:
        TooLarge: more than `max_bytes`.
        Refused: the platform has it no more.
        SendError: by the answer.
    """

    def told(answer: Answer) -> object:
        file = fetch_url is None and "Content-disposition" in answer.headers
        return None if file else in_json(answer)

    def check(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
        return client.access.refusal(answer, hide) if told(answer) is not None or not answer.ok else None

    wire = Wire(method="GET", url=f"/cgi-bin/media/get?{urlencode({'media_id': media.provider_id or ''})}")
    answer = await client.call(wire, max_bytes=max(max_bytes, JSON_SPARE), check=check)
    if fetch_url is not None and (url := (in_json(answer) or {}).get("video_url")) and isinstance(url, str):
        return await fetch_url(url)
    if len(answer.body) > max_bytes:
        raise TooLarge(f"the file is larger than {max_bytes} bytes")
    return Fetched(data=answer.body, mime=_mime(answer), name=_filename(answer))


def _mime(answer: Answer) -> str | None:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None


def _filename(answer: Answer) -> str | None:
    _, found, rest = answer.headers.get("Content-disposition", "").partition("filename=")
    return unquote(rest.strip().strip('"')) or None if found else None
