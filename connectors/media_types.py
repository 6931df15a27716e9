"""What a media item is, and whether a channel keeps it.

A declared type is believed unless the first bytes say something that cannot be meant by it; a program is a program,
whatever it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import filetype

from connectors.errors import Refused

HEAD_BYTES = 8192
UNKNOWN = "application/octet-stream"
_SAYS_NOTHING = frozenset({"", UNKNOWN, "binary/octet-stream", "application/binary", "application/unknown"})
_PROGRAM = "application/x-executable"
_PROGRAMS = frozenset({
    _PROGRAM, "application/x-msdownload", "application/x-dosexec", "application/x-msdos-program", "application/x-msi",
    "application/vnd.microsoft.portable-executable", "application/x-mach-binary", "application/x-sharedlib",
    "application/x-sh", "application/x-bat", "application/x-powershell", "application/hta", "application/java-archive",
    "application/x-java-archive", "application/vnd.android.package-archive", "application/x-apple-diskimage",
    "application/x-ms-shortcut", "application/x-deb", "application/x-rpm", "application/x-google-chrome-extension",
})  # fmt: skip
_PROGRAM_ENDINGS = frozenset({
    ".apk", ".app", ".bat", ".cmd", ".com", ".cpl", ".deb", ".dll", ".dmg", ".exe", ".hta", ".jar", ".js", ".jse",
    ".lnk", ".msi", ".msp", ".pif", ".ps1", ".reg", ".rpm", ".scr", ".sh", ".vbe", ".vbs", ".wsf",
})  # fmt: skip
_PROGRAM_HEADS = (
    b"\x7fELF", b"#!/",
    b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
)  # fmt: skip
"""ELF, scripts, Mach-O (thin in either order, fat) and Java classes."""
_CONTAINERS = frozenset({
    "application/zip", "application/gzip", "application/msword", "audio/ogg", "audio/mp4", "video/mp4", "video/webm",
    "video/x-matroska", "video/quicktime", "video/3gpp",
})  # fmt: skip
"""What many other types are made of: a Word file is a ZIP, a voice note may be WebM or MP4."""


class TypeRefused(Refused):
    """The channel keeps no media of this type (`media_types`)."""

    code = "type_refused"


def type_of(data: bytes, *declared: str | None) -> str | None:
    """Return the MIME type of `data`, or None when nobody knows.

    Args:
        data: the content, or its beginning.
        declared: what others say, the most trustworthy first.
    """
    told = next((kind for kind in map(_bare, declared) if kind not in _SAYS_NOTHING), None)
    found = _found(data)
    if told is None or found is None:
        return told or found
    same = found == told or found.partition("/")[0] == told.partition("/")[0]
    contained = found in _CONTAINERS and told.partition("/")[0] in {"application", "audio", "video"}
    return told if (same or contained) and found not in _PROGRAMS else found


def check_type(mime: str | None, name: str | None, allowed: Sequence[str]) -> None:
    """Raise `TypeRefused` for what the channel does not keep.

    Args:
        mime: as `type_of` found it.
        name: of the file, whose ending may say that it is a program.
        allowed: `ChannelConfig.media_types`.
    """
    kind = mime or UNKNOWN
    if allowed:
        if not any(fnmatchcase(kind, pattern.lower()) for pattern in allowed):
            raise TypeRefused(f"{kind} is none of this channel's `media_types`")
    elif kind in _PROGRAMS or _ending(name) in _PROGRAM_ENDINGS:
        raise TypeRefused("programs are not kept; name their type in `media_types` if they shall be")


def _bare(mime: str | None) -> str:
    return (mime or "").partition(";")[0].strip().lower()


def _ending(name: str | None) -> str:
    return PurePosixPath((name or "").rstrip(". ").lower()).suffix


def _found(data: bytes) -> str | None:
    windows = data.startswith(b"MZ") and b"\0" in data[:64]  # a text may begin with these letters, too
    if windows or data.startswith(_PROGRAM_HEADS):
        return _PROGRAM
    found: str | None = filetype.guess_mime(data[:HEAD_BYTES])
    return None if found in {UNKNOWN, "application/x-msdownload"} else found
