"""winmail.dat: read as another reader reads it, and bounded where that one is not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tnefparse import TNEF

from normalizer.mail import tnef
from tests.mail_corpus.build import PDF
from tests.mail_corpus.office import BODY, ONLY, TWO, attached, attribute, properties, wide
from tests.mail_corpus.office import tnef as stream


@pytest.mark.parametrize("data", [TWO, ONLY, BODY])
def test_tnefparse_finds_the_same(data: bytes) -> None:
    ours, theirs = tnef.read(data), TNEF(data)

    assert ours is not None
    assert ours.whole
    assert [(one.name, bytes(one.data)) for one in ours.files] == [
        (one.long_filename().rstrip("\0"), one.data) for one in theirs.attachments
    ]
    assert ours.html == (theirs.htmlbody or "")
    assert ours.text == (theirs.body or "").rstrip("\0")


def test_a_stream_cut_anywhere_gives_what_came_before() -> None:
    counts = []
    for end in range(4, len(TWO)):
        found = tnef.read(TWO[:end])
        assert found is not None
        counts.append(len([one for one in found.files if bytes(one.data) in TWO]))

    assert sorted(counts) == counts
    assert counts[-1] == 2


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_behind_the_signature_is_read(noise: bytes) -> None:
    tnef.read(TWO[:6] + noise)
    assert tnef.read(noise[4:] if noise.startswith(TWO[:4]) else noise) is None


@settings(deadline=None)
@given(st.integers(0, len(TWO) - 1), st.binary(min_size=1, max_size=8))
def test_damage_anywhere_is_survived(at: int, damage: bytes) -> None:
    tnef.read(TWO[:at] + damage + TWO[at + len(damage) :])


def test_an_embedded_message_gives_its_files_and_says_that_there_is_more() -> None:
    inner = stream(attached("inner.pdf", PDF))
    data = bytes.fromhex("0703020000000000c000000000000046") + inner
    whole = stream(attribute(2, 0x00069002, b"\0" * 14), attribute(2, 0x00069005, properties((0x0D, 0x3701, data))))
    found = tnef.read(whole)

    assert found is not None
    assert ([one.name for one in found.files], found.whole) == (["inner.pdf"], False)


def test_streams_in_streams_end() -> None:
    data = stream(attached("deep.pdf", PDF))
    for _ in range(50):
        message = bytes.fromhex("0703020000000000c000000000000046") + data
        data = stream(
            attribute(2, 0x00069002, b"\0" * 14), attribute(2, 0x00069005, properties((0x0D, 0x3701, message)))
        )
    found = tnef.read(data)

    assert found is not None
    assert (found.files, found.whole) == ([], False)


def test_a_named_property_and_lists_are_stepped_over() -> None:
    named = struct.pack("<HH", 0x1F, 0x8001) + b"\0" * 16 + struct.pack("<II", 1, 4) + b"n\0\0\0"
    named += struct.pack("<II", 1, 4) + b"v\0\0\0"
    several = struct.pack("<HHI", 0x1003, 0x1234, 2) + b"\0" * 8
    text = properties((0x1F, 0x1000, wide("found")))[4:]
    found = tnef.read(stream(attribute(1, 0x00069003, struct.pack("<I", 3) + named + several + text)))

    assert found is not None
    assert (found.text, found.whole) == ("found", True)


def test_rtf_is_there_as_it_was_sent() -> None:
    found = tnef.read(stream(attribute(1, 0x00069003, properties((0x102, 0x1009, b"compressed")))))

    assert found is not None
    assert found.rtf == b"compressed"
