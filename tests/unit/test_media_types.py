"""What a media item is taken for, and what a channel keeps."""

from __future__ import annotations

import pytest

from connectors.media_types import TypeRefused, check_type, type_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
OGG = b"OggS" + b"\0" * 24 + b"OpusHead" + b"\0" * 64
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 64
EXE = b"MZ\x90\0\3\0\0\0" + b"\0" * 200
ELF = b"\x7fELF\2\1\1" + b"\0" * 200
ZIP = b"PK\3\4\x14\0\0\0\x08\0" + b"\0" * 200


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (PNG, (None,), "image/png"),
        (PNG, ("", "application/octet-stream"), "image/png"),
        (PNG, ("image/png; charset=binary",), "image/png"),
        (PNG, ("image/jpeg",), "image/jpeg"),
        (PNG, ("text/html",), "image/png"),
        (PNG, (None, "IMAGE/PNG"), "image/png"),
        (OGG, ("audio/ogg; codecs=opus",), "audio/ogg"),
        (OGG, ("video/ogg",), "video/ogg"),
        (MP4, ("audio/mp4",), "audio/mp4"),
        (ZIP, ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",),
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (ZIP, ("image/png",), "application/zip"),
        (EXE, ("image/png",), "application/x-executable"),
        (ELF, ("application/octet-stream",), "application/x-executable"),
        (b"#!/bin/sh\nrm -rf /\n", ("text/plain",), "application/x-executable"),
        (b"MZ is how this text begins, and it goes on for a while without a NUL byte in it.", (None,), None),
        (b"MZ is how this text begins, and it goes on.", ("text/plain",), "text/plain"),
        (b"hello", ("text/plain",), "text/plain"),
        (b"hello", (None, None), None),
        (b"", (None,), None),
    ],
)  # fmt: skip
def test_a_declared_type_is_believed_unless_the_bytes_say_otherwise(
    data: bytes, declared: tuple[str | None, ...], expected: str | None
) -> None:
    assert type_of(data, *declared) == expected


@pytest.mark.parametrize(
    ("mime", "name", "allowed"),
    [
        ("image/png", None, ()),
        (None, None, ()),
        ("application/pdf", "report.pdf", ()),
        ("image/png", "a.png", ("image/*", "audio/*")),
        ("application/x-executable", "setup.exe", ("application/x-executable",)),
        ("text/plain", "setup.exe", ("text/*",)),
    ],
)
def test_what_is_wanted_is_kept(mime: str | None, name: str | None, allowed: tuple[str, ...]) -> None:
    check_type(mime, name, allowed)


@pytest.mark.parametrize(
    ("mime", "name", "allowed"),
    [
        ("application/x-executable", None, ()),
        ("application/x-msdownload", None, ()),
        ("application/vnd.android.package-archive", None, ()),
        ("text/plain", "invoice.pdf.EXE", ()),
        ("application/octet-stream", "run.ps1. ", ()),
        ("video/mp4", None, ("image/*", "audio/*")),
        (None, None, ("image/*",)),
    ],
)
def test_programs_and_what_is_not_named_are_refused(
    mime: str | None, name: str | None, allowed: tuple[str, ...]
) -> None:
    with pytest.raises(TypeRefused):
        check_type(mime, name, allowed)
