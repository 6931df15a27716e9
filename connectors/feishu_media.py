"""Files of Feishu, up and down.

https://open.feishu.cn/document/server-docs/im-v1/image/create
https://open.feishu.cn/document/server-docs/im-v1/file/create
https://open.feishu.cn/document/server-docs/im-v1/message/get-2
"""

from __future__ import annotations

import mimetypes
import re
from email.message import Message

from msgspec.structs import replace

from connectors.api import Fetched
from connectors.errors import Refused, SendError
from connectors.feishu_api import Making, refusal, result
from connectors.feishu_client import FeishuClient
from connectors.feishu_config import FILE_MAX, IMAGE_MAX
from connectors.http import Answer, TooLarge
from connectors.multipart import post_form
from normalizer import parts as p
from normalizer.parts import Media, MediaPart
from normalizer.raw import Wire

JSON_SPARE = 65_536
"""Room for an error, where less than that is allowed for the file itself."""
OPUS = frozenset({"audio/ogg", "audio/opus"})
TYPES = {"pdf": "pdf", "doc": "doc", "docx": "doc", "xls": "xls", "xlsx": "xls", "ppt": "ppt", "pptx": "ppt"}
"""Extension → `file_type`; others are ``stream``."""

_RESOURCE = re.compile(r"(om_[\w-]{1,200})/(image|file)/([\w-]{1,255})", re.ASCII)


async def upload(client: FeishuClient, part: MediaPart, content: Fetched) -> Media:
    """Upload a file; returns its media, whose id says as what it can be sent.

    Raises:
        TooLarge: Feishu takes no file of this size; `Refused`, none that is empty.
        SendError: by Feishu's answer.
    """
    mime = (content.mime or part.media.mime or "").partition(";")[0].strip().lower()
    most = IMAGE_MAX if isinstance(part, p.Image) else FILE_MAX
    if len(content.data) > most:
        raise TooLarge(f"Feishu takes files of this kind of at most {most} bytes")
    if not content.data:
        raise Refused("Feishu takes no empty file")
    name = content.name or part.media.name or _name(part, mime)
    file = Fetched(data=content.data, mime=mime or None, name=name)
    if isinstance(part, p.Image):
        kind, wire = "image", post_form("/open-apis/im/v1/images", {"image_type": "message"}, {"image": file})
    else:
        kind, fields = _as(part, mime, name)
        wire = post_form("/open-apis/im/v1/files", fields, {"file": file})
    made = result(await client.call(wire), Making).data
    key = made.image_key or made.file_key
    if not key:
        raise Refused("Feishu gave the file no key")
    return replace(part.media, provider_id=f"{kind}:{key}", url=None)


def _name(part: MediaPart, mime: str) -> str:
    return str(part.__struct_config__.tag) + (mimetypes.guess_extension(mime) or "")


def _as(part: MediaPart, mime: str, name: str) -> tuple[str, dict[str, str]]:
    """Say as what type of message a file can be sent, and what the upload is told of it."""
    kind, told = "file", TYPES.get(name.rpartition(".")[2].lower(), "stream")
    if isinstance(part, p.Audio) and mime in OPUS:
        kind, told = "audio", "opus"
    elif isinstance(part, p.Video) and mime == "video/mp4":
        kind, told = "media", "mp4"
    millis = part.media.duration_ms if kind != "file" else None
    return kind, {"file_type": told, "file_name": name, **({"duration": str(millis)} if millis else {})}


async def download(client: FeishuClient, media: Media, *, max_bytes: int) -> Fetched:
    """Download a file of a received message, by message, type and key.

    Raises:
        TooLarge: more than `max_bytes`.
        Refused: Feishu has it no more, or it is none of a message.
        SendError: by Feishu's answer.
    """
    found = _RESOURCE.fullmatch(media.provider_id or "")
    if found is None:
        raise Refused("this is no file of a received message")
    message, kind, key = found.groups()
    wire = Wire(method="GET", url=f"/open-apis/im/v1/messages/{message}/resources/{key}?type={kind}")
    answer = await client.call(wire, max_bytes=max(max_bytes, JSON_SPARE), check=_check)
    if len(answer.body) > max_bytes:
        raise TooLarge(f"the file is larger than {max_bytes} bytes")
    return Fetched(data=answer.body, mime=_mime(answer), name=_filename(answer))


def _mime(answer: Answer) -> str | None:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None


def _check(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Tell an error, which is JSON, from a file, which may be JSON, too, and then has a name."""
    error = _mime(answer) == "application/json" and "Content-Disposition" not in answer.headers
    return refusal(answer, hide) if error or not answer.ok else None


def _filename(answer: Answer) -> str | None:
    told = Message()
    told["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    name = told.get_filename()
    if not name:
        return None
    try:  # UTF-8 that came as if it were Latin-1
        return name.encode("latin-1").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return name
