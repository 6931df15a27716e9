"""Files of DingTalk, up and down.

https://open.dingtalk.com/document/orgapp/upload-media-files
https://open.dingtalk.com/document/orgapp/download-the-file-content-of-the-robot-receiving-message
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Collection

from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from connectors.api import Fetched
from connectors.dingtalk_api import Download, Uploaded, result
from connectors.dingtalk_client import UPLOAD
from connectors.errors import Refused
from connectors.http import Answer
from connectors.multipart import post_form
from normalizer import build
from normalizer.parts import Audio, Image, Media, MediaPart, Video
from normalizer.raw import Wire

Call = Callable[[Wire], Awaitable[Answer]]
"""Performs a call of the API and returns its answer if it is a success; raises `SendError`."""

MEGABYTE = 1_048_576


class Limit(Struct, frozen=True):
    """What DingTalk takes as one `type` of media.

    Attributes:
        endings: of the names of its formats.
        max_bytes: of the file.
    """

    type: str
    endings: frozenset[str]
    max_bytes: int


IMAGE = Limit("image", frozenset({"jpg", "jpeg", "gif", "png", "bmp"}), 20 * MEGABYTE)
VOICE = Limit("voice", frozenset({"amr", "mp3", "wav"}), 2 * MEGABYTE)
VIDEO = Limit("video", frozenset({"mp4"}), 20 * MEGABYTE)
FILE = Limit("file", frozenset({"doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip", "pdf", "rar"}), 20 * MEGABYTE)

_ENDINGS = {"image/jpeg": "jpg", "audio/amr": "amr", "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}


async def upload(call: Call, part: MediaPart, content: Fetched, link: Callable[[Media], Media]) -> Media:
    """Upload a file, or link it where DingTalk takes no such files; returns its media with id or address.

    Raises:
        SendError: by DingTalk's answer.
    """
    name = _name(part, content)
    limit = next((one for one in _limits(part) if fits(one, name, content)), None)
    if limit is None:
        return link(part.media)
    file = Fetched(data=content.data, mime=content.mime or part.media.mime, name=name)
    told = result(await call(post_form(UPLOAD, {"type": limit.type}, {"media": file})), Uploaded)
    return replace(part.media, provider_id=told.media_id, url=None)


def fits(limit: Limit, name: str, content: Fetched) -> bool:
    """Tell whether DingTalk takes a file as this type; it knows formats by the ending of the name."""
    return name.rpartition(".")[2].lower() in limit.endings and 0 < len(content.data) <= limit.max_bytes


def _limits(part: MediaPart) -> tuple[Limit, ...]:
    if isinstance(part, Image):
        return (IMAGE,)
    if isinstance(part, Audio) and part.media.voice:
        return (VOICE,)
    return (VIDEO, FILE) if isinstance(part, Video) else (FILE,)


def _name(part: MediaPart, content: Fetched) -> str:
    name = content.name or part.media.name or ""
    if "." in name:
        return name
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower()
    ending = _ENDINGS.get(mime) or (mimetypes.guess_extension(mime) or "").lstrip(".")
    stem = name or str(part.__struct_config__.tag)
    return f"{stem}.{ending}" if ending else stem


async def locate(call: Call, code: str, robot: str) -> str:
    """Return the address of a file that somebody sent; raises `SendError`."""
    if not code:
        raise Refused("DingTalk gave this file no download code")
    answer = await call(build.post("/v1.0/robot/messageFiles/download", {"downloadCode": code, "robotCode": robot}))
    return result(answer, Download).download_url


def secure(url: str, hosts: Collection[str]) -> str:
    """Ask for a file by https, which its host speaks, too, unless that is one of `hosts`, which may be without."""
    try:
        told = URL(url)
    except ValueError:
        return url  # refused by whoever fetches it
    return (
        str(told.with_scheme("https")) if told.scheme == "http" and told.port == 80 and told.host not in hosts else url
    )
