"""Sealed files: what was sealed opens, and nothing else does."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sealing import (
    HEAD,
    SEGMENT,
    TAG,
    KeyMissing,
    LogSealer,
    Opened,
    Seal,
    SealBroken,
    Sealer,
    read_log,
    sealed_size,
)

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SEAL = Seal([KEY])
FRAME = SEGMENT + TAG
ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sealed(data: bytes, seal: Seal = SEAL, *, step: int = 100_000) -> bytes:
    sealer = Sealer(seal)
    body = [piece for at in range(0, len(data), step) for piece in sealer.update(data[at : at + step])]
    return sealer.head + b"".join(body) + sealer.finish(sha256(data).digest())


class Files:
    """Files of these bytes, to be opened as that of `plain`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def opened(self, data: bytes, plain: bytes, seal: Seal = SEAL) -> bytes:
        self.path.write_bytes(data)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            file = Opened(fd, seal, sha256(plain).digest())
            assert file.size == len(plain)
            return b"".join(file.read(0, file.size))
        finally:
            os.close(fd)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "file")


sizes = st.one_of(
    st.integers(0, 300), st.sampled_from([SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5])
)


@ANY
@given(size=sizes, step=st.integers(1, 2 * SEGMENT + 1).map(lambda step: max(step, 64)), seed=st.binary(max_size=8))
def test_what_was_sealed_in_any_pieces_opens(files: Files, size: int, step: int, seed: bytes) -> None:
    data = (seed or b"x") * (size // max(1, len(seed)) + 1)
    data = data[:size]

    found = sealed(data, step=step)

    assert len(found) == sealed_size(size)
    assert files.opened(found, data) == data


@ANY
@given(start=st.integers(0, 2 * SEGMENT + 9), length=st.integers(0, 2 * SEGMENT + 9))
def test_any_part_is_that_part(files: Files, start: int, length: int) -> None:
    data = bytes(number % 251 for number in range(2 * SEGMENT + 5))
    files.path.write_bytes(sealed(data))
    with files.path.open("rb") as file:
        opened = Opened(file.fileno(), SEAL, sha256(data).digest())

        assert b"".join(opened.read(start, start + length)) == data[start : start + length]


@ANY
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_is_found(files: Files, place: float, bit: int) -> None:
    data = bytes(2 * SEGMENT + 100)
    changed = bytearray(sealed(data))
    changed[int(place * len(changed))] ^= 1 << bit

    with pytest.raises(SealBroken):
        files.opened(bytes(changed), data)


@pytest.mark.parametrize("data", [b"", b"short", bytes(SEGMENT), bytes(SEGMENT + 1)], ids=len)
def test_a_file_cut_off_anywhere_does_not_open(files: Files, data: bytes) -> None:
    whole = sealed(data)

    cuts = {0, 1, HEAD - 1, HEAD, HEAD + 1, HEAD + TAG - 1, HEAD + FRAME, len(whole) - 1}
    for length in filter(len(whole).__gt__, cuts):
        with pytest.raises(SealBroken):
            files.opened(whole[:length], data)


def test_a_file_cut_off_between_segments_does_not_open(files: Files) -> None:
    data = bytes(3 * SEGMENT)

    with pytest.raises(SealBroken):
        files.opened(sealed(data)[: HEAD + 2 * FRAME], bytes(2 * SEGMENT))


def segments(file: bytes) -> Iterator[bytes]:
    for at in range(HEAD, len(file), FRAME):
        yield file[at : at + FRAME]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (0, 0, 2), (0, 1, 1)])
def test_segments_have_their_places(files: Files, order: tuple[int, ...]) -> None:
    data = b"a" * SEGMENT + b"b" * SEGMENT + b"c" * SEGMENT
    whole = sealed(data)
    parts = list(segments(whole))

    with pytest.raises(SealBroken):
        files.opened(whole[:HEAD] + b"".join(parts[number] for number in order), data)


def test_a_segment_of_another_file_is_refused(files: Files) -> None:
    data = bytes(2 * SEGMENT)
    one, two = sealed(data), sealed(data)

    with pytest.raises(SealBroken):
        files.opened(one[: HEAD + FRAME] + two[HEAD + FRAME :], data)


def test_a_file_under_the_name_of_another_does_not_open(files: Files) -> None:
    with pytest.raises(SealBroken):
        files.opened(sealed(b"mine"), b"your")


def test_equal_files_look_different() -> None:
    one, two = sealed(b"same"), sealed(b"same")

    assert one[-4 - TAG :] != two[-4 - TAG :]
    assert b"same" not in one


def test_another_key_is_named_and_does_not_open(files: Files) -> None:
    with pytest.raises(KeyMissing, match=SEAL.ids[0]):
        files.opened(sealed(b"x"), b"x", Seal([OTHER]))


def test_the_first_key_seals_and_all_open(files: Files) -> None:
    new = Seal([OTHER, KEY])

    assert files.opened(sealed(b"old"), b"old", new) == b"old"
    assert files.opened(sealed(b"new", new), b"new", Seal([OTHER])) == b"new"
    with pytest.raises(KeyMissing):
        files.opened(sealed(b"new", new), b"new", SEAL)


@pytest.mark.parametrize(
    "written",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(bytes([251, 255] * 16)).decode(),
        f"  {KEY.hex()}\n",
    ],
)
def test_a_key_is_written_in_hex_or_base64(written: str) -> None:
    assert len(Seal.parse(written).ids) == 1


def test_several_keys_are_separated_by_blanks_or_lines() -> None:
    assert Seal.parse(f"{OTHER.hex()} \n{KEY.hex()}").ids == Seal([OTHER, KEY]).ids


@pytest.mark.parametrize(
    "written", ["", "  ", "secret", KEY.hex()[:-2], "zz" * 32, base64.b64encode(KEY[:-1]).decode()]
)
def test_what_is_no_key_is_refused_without_being_shown(written: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        Seal.parse(written)

    assert not written.strip() or written not in str(caught.value)


def log_of(records: list[bytes]) -> tuple[bytes, list[bytes]]:
    log = LogSealer(SEAL)
    return log.head, [log.record(record) for record in records]


RECORDS = [b"one", b"", b"three" * 1000, b"four"]


@ANY
@given(st.integers(0, 10_000))
def test_a_log_cut_off_anywhere_is_read_up_to_there(length: int) -> None:
    head, frames = log_of(RECORDS)
    whole = head + b"".join(frames)
    cut = whole[: HEAD + length % (len(whole) - HEAD + 1)]
    ends = [HEAD + sum(map(len, frames[: number + 1])) for number in range(len(frames))]

    assert list(read_log(io.BytesIO(cut), SEAL)) == RECORDS[: sum(end <= len(cut) for end in ends)]


def test_a_log_that_grew_by_zeros_is_read_up_to_them() -> None:
    head, frames = log_of(RECORDS)

    assert list(read_log(io.BytesIO(head + b"".join(frames) + bytes(500)), SEAL)) == RECORDS


@pytest.mark.parametrize("order", [(1, 0), (0, 2), (0, 1, 1), (0, 0), (1,)])
def test_records_of_a_log_cannot_be_moved_or_taken_out(order: tuple[int, ...]) -> None:
    head, frames = log_of(RECORDS)

    with pytest.raises(SealBroken):
        list(read_log(io.BytesIO(head + b"".join(frames[number] for number in order)), SEAL))


def test_a_changed_record_is_found() -> None:
    head, frames = log_of(RECORDS)
    changed = bytearray(head + b"".join(frames))
    changed[HEAD + len(frames[0]) + 15] ^= 1

    with pytest.raises(SealBroken):
        list(read_log(io.BytesIO(bytes(changed)), SEAL))


def test_a_record_that_was_taken_back_leaves_no_hole() -> None:
    log = LogSealer(SEAL)
    first, lost = log.record(b"first"), log.record(b"lost")
    log.undo()
    file = log.head + first + log.record(b"second")

    assert list(read_log(io.BytesIO(file), SEAL)) == [b"first", b"second"]
    assert lost not in file


def test_a_log_does_not_open_with_another_key() -> None:
    head, frames = log_of(RECORDS)

    with pytest.raises(KeyMissing):
        list(read_log(io.BytesIO(head + b"".join(frames)), Seal([OTHER])))
