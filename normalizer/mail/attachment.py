"""A file that comes with a mail: a MIME part, or something inside one (winmail.dat, uuencoded text)."""

from __future__ import annotations

import re
from collections.abc import Callable

from normalizer.mail import charsets
from normalizer.mail.headers import parameters
from normalizer.mail.mime import Entity

NAME_MAX = 255
"""Characters of a file name."""

_PATH = re.compile(r"[\x00-\x1f\x7f/\\]+")
_SPACE = re.compile(r"\s+")
_UNNAMED = {"message/rfc822": "message.eml", "message/global": "message.eml", "text/calendar": "invite.ics"}
_TYPES = {
    "pdf": "application/pdf",
    "zip": "application/zip",
    "txt": "text/plain",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "rtf": "application/rtf",
    "ics": "text/calendar",
    "eml": "message/rfc822",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "tif": "image/tiff",
    "bmp": "image/bmp",
    "xml": "application/xml",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


class Attachment:
    """A file, undecoded.

    Attributes:
        section: names it for good: its number as in IMAP (``1.2``), ``0`` for a mail that is nothing else, and behind
            ``#`` the number inside a container.
        mime: the declared media type, or what the name tells where the container has none.
        name: without folders and control characters; None where there is none.
        content_id: without angle brackets, by which HTML refers to it.
        notes: numbers to keep with the stored file; none for attachments.
    """

    __slots__ = ("_load", "content_id", "mime", "name", "notes", "section")

    def __init__(self, section: str, mime: str, name: str, content_id: str, load: Callable[[], bytes]) -> None:
        """Describe a file; `load` decodes it."""
        self.section = section
        self.name = _plain(name) or _UNNAMED.get(mime)
        self.mime = mime or _TYPES.get((self.name or "").rpartition(".")[2].lower(), "application/octet-stream")
        self.content_id = content_id.strip("<> \t\r\n") or None
        self.notes: dict[str, int] = {}
        self._load = load

    def data(self) -> bytes:
        """Decode the bytes."""
        return self._load()


def of(entity: Entity, prefix: str = "") -> Attachment:
    """Describe a MIME part; `prefix` is the section of the mail it is in."""
    return Attachment(
        section=prefix + (entity.section or "0"),
        mime=entity.mime,
        name=file_name(entity),
        content_id=entity.fields.raw("content-id"),
        load=entity.payload,
    )


def file_name(entity: Entity) -> str:
    """The name as the sender gives it; empty where there is none."""
    _, disposition = parameters(entity.fields.raw("content-disposition"))
    return disposition.get("filename") or entity.params.get("name") or ""


def _plain(name: str) -> str:
    joined = _SPACE.sub(" ", _PATH.sub("_", charsets.clean(name)))
    return joined.strip(" ._")[:NAME_MAX]
