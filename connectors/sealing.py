"""Files that only the holder of a key can read: AES-256-GCM in segments.

Both forms begin with a head (`HEAD` bytes): a magic word, the form, the id of the key, and a salt. The key of a file is
HKDF-SHA256 (RFC 5869) of the configured key and that salt, so no two files share one, and the nonce of a segment can be
its number: segments cannot be swapped, within a file or between files.

- **Whole** (`Sealer`, `Opened`): segments of 64 KiB for random access. The nonce of the last says that it is the last
  (the STREAM construction, https://eprint.iacr.org/2015/189), and it covers the SHA-256 of all plain bytes: a file that
  was cut off, or is that of another name, does not open.
- **Log** (`LogSealer`, `read_log`): records that are appended while something is being written. Each covers the tag of
  the one before. Its end is where it stops: who has the disk can cut it off, as a crash can.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal

from normalizer.errors import OmniError

if TYPE_CHECKING:  # cryptography takes 30 ms to import, which a gateway without key can do without
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
SEGMENT, TAG = 65_536, 16
_MAGIC, _ID_BYTES, _SALT_BYTES = b"omniseal", 8, 32
HEAD = len(_MAGIC) + 1 + _ID_BYTES + _SALT_BYTES
_LENGTH_BYTES, _NUMBER_BYTES = 4, 8
_LONGEST_RECORD = 16_777_216

Form = Literal[b"\x01", b"\x02"]
WHOLE: Form = b"\x01"
LOG: Form = b"\x02"


class SealBroken(OmniError):
    """The bytes are not what was sealed: damaged, cut off, or changed."""

    code = "seal_broken"


class KeyMissing(SealBroken):
    """They were sealed with a key that is not among ours."""

    code = "key_missing"


class Seal:
    """The keys; the first seals, all open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of `KEY_BYTES` bytes, at least one."""
        self._keys = {_derived(key, b"", b"omnigate key id", _ID_BYTES): key for key in keys}
        self._first = next(iter(self._keys))

    @classmethod
    def parse(cls, text: str) -> Seal:
        """Read keys in base64 or hex, separated by blanks or line ends; raises `ValueError` without any part of one."""
        words = text.split()
        if not words:
            raise ValueError("holds no key: write 32 random bytes in base64 or hex (openssl rand -base64 32)")
        return cls([_key(word, number) for number, word in enumerate(words, 1)])

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the keys, the one that seals first; they reveal nothing about them."""
        return tuple(name.hex() for name in self._keys)

    def begin(self, form: Form) -> tuple[bytes, AESGCM]:
        """Make the head of a new file and its cipher."""
        head = _MAGIC + form + self._first + os.urandom(_SALT_BYTES)
        return head, self._cipher(head, self._first)

    def resume(self, head: bytes, form: Form) -> AESGCM:
        """Make the cipher of a file that begins with `head`.

        Raises:
            KeyMissing: it is sealed with a key that is not here.
            SealBroken: that is no such head.
        """
        if not is_sealed(head, form):
            raise SealBroken("it is not sealed in this form")
        name = key_id(head)
        if name not in self._keys:
            raise KeyMissing(f"it is sealed with the key {name.hex()}, which is not configured")
        return self._cipher(head, name)

    def is_current(self, head: bytes) -> bool:
        """Tell whether a file was sealed with the key that seals now."""
        return key_id(head) == self._first

    def _cipher(self, head: bytes, name: bytes) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- see above

        salt, form = head[-_SALT_BYTES:], head[len(_MAGIC) : len(_MAGIC) + 1]
        return AESGCM(_derived(self._keys[name], salt, b"omnigate file " + form, KEY_BYTES))


def is_sealed(head: bytes, form: Form) -> bool:
    """Tell whether a file that begins with `head` claims to be sealed."""
    return len(head) >= HEAD and head.startswith(_MAGIC + form)


def key_id(head: bytes) -> bytes:
    """Return which key a head names."""
    return head[len(_MAGIC) + 1 : len(_MAGIC) + 1 + _ID_BYTES]


def sealed_size(size: int) -> int:
    """Return how large a sealed file of `size` plain bytes is."""
    return HEAD + size + TAG * max(1, -(-size // SEGMENT))


class Sealer:
    """Seals a whole as it comes: `head`, then what `update` and at last `finish` return."""

    def __init__(self, seal: Seal) -> None:
        """Begin a file."""
        self.head, self._cipher = seal.begin(WHOLE)
        self._number, self._rest = 0, b""

    def update(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Take more and yield full segments; the newest bytes are held back, because they may be the last."""
        view = memoryview(data)
        if self._rest and len(self._rest) + len(view) > SEGMENT:
            missing = SEGMENT - len(self._rest)
            yield self._segment(self._rest + bytes(view[:missing]))
            self._rest, view = b"", view[missing:]
        while len(view) > SEGMENT:
            yield self._segment(view[:SEGMENT])
            view = view[SEGMENT:]
        self._rest += bytes(view)

    def finish(self, digest: bytes) -> bytes:
        """Return the last segment; `digest` is the SHA-256 of all plain bytes."""
        return self._cipher.encrypt(_nonce(self._number, last=True), self._rest, self.head + digest)

    def _segment(self, data: bytes | memoryview) -> bytes:
        self._number += 1
        return self._cipher.encrypt(_nonce(self._number - 1), data, self.head)


class Opened:
    """A sealed whole, read at any place; methods block.

    Attributes:
        size: of the plain bytes.
    """

    def __init__(self, fd: int, seal: Seal, digest: bytes) -> None:
        """Look at the head and the last segment of an open file that shall be that of `digest` (SHA-256).

        Raises:
            KeyMissing: see `Seal.resume`.
            SealBroken: it is not that file, or not all of it.
        """
        self._fd, self._head = fd, os.pread(fd, HEAD, 0)
        self._cipher = seal.resume(self._head, WHOLE)
        body = os.fstat(fd).st_size - HEAD
        self._last = max(0, -(-body // (SEGMENT + TAG)) - 1)
        self.size = body - (self._last + 1) * TAG
        if self.size < 0:
            raise SealBroken("its end is missing")
        self._tail = self._open(self._last, _nonce(self._last, last=True), self._head + digest)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the plain bytes from `start` up to `stop`, a segment at a time; raises `SealBroken`."""
        while start < min(stop, self.size):
            number, skip = divmod(start, SEGMENT)
            plain = self._tail if number == self._last else self._open(number, _nonce(number), self._head)
            piece = plain[skip : skip + stop - start]
            yield piece
            start += len(piece)

    def _open(self, number: int, nonce: bytes, covered: bytes) -> bytes:
        sealed = os.pread(self._fd, SEGMENT + TAG, HEAD + number * (SEGMENT + TAG))
        return _opened(self._cipher, nonce, sealed, covered)


class LogSealer:
    """Seals records of a log: `head`, then what `record` returns, in order."""

    def __init__(self, seal: Seal) -> None:
        """Begin a log."""
        self.head, self._cipher = seal.begin(LOG)
        self._number, self._before, self._undone = 0, bytes(TAG), bytes(TAG)

    def record(self, data: bytes) -> bytes:
        """Seal one record; it counts only when all of it gets to the disk, see `undo`."""
        nonce, covered = _nonce(self._number), self.head + self._before
        sealed = self._cipher.encrypt(nonce, data, covered)
        framed = len(sealed).to_bytes(_LENGTH_BYTES) + self._number.to_bytes(_NUMBER_BYTES) + sealed
        self._number += 1
        self._undone, self._before = self._before, sealed[-TAG:]
        return framed

    def undo(self) -> None:
        """Take the last record back, which could not be written; its number is not used again."""
        self._before = self._undone


def read_log(file: BinaryIO, seal: Seal) -> Iterator[bytes]:
    """Yield the records of a log up to the first that is not whole, where a crash stopped it.

    Raises:
        KeyMissing: see `Seal.resume`.
        SealBroken: it is no log, or a record was changed.
    """
    head = file.read(HEAD)
    cipher, before, lowest = seal.resume(head, LOG), bytes(TAG), 0
    while len(frame := file.read(_LENGTH_BYTES + _NUMBER_BYTES)) == _LENGTH_BYTES + _NUMBER_BYTES:
        length, number = int.from_bytes(frame[:_LENGTH_BYTES]), int.from_bytes(frame[_LENGTH_BYTES:])
        if not length and not number:  # zeros: the file grew before its bytes came, and the power went
            return
        if not TAG <= length <= _LONGEST_RECORD or number < lowest:
            raise SealBroken("a record has an impossible length or number")
        sealed = file.read(length)
        if len(sealed) < length:
            return
        yield _opened(cipher, _nonce(number), sealed, head + before)
        before, lowest = sealed[-TAG:], number + 1


def _opened(cipher: AESGCM, nonce: bytes, sealed: bytes, covered: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- see above

    try:
        return cipher.decrypt(nonce, sealed, covered)
    except InvalidTag:
        raise SealBroken("it was changed, cut off, or is another file") from None


def _nonce(number: int, *, last: bool = False) -> bytes:
    return number.to_bytes(11) + (b"\x01" if last else b"\x00")


def _derived(key: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 -- see above
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(key)


def _key(word: str, number: int) -> bytes:
    if len(word) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(word)
        except ValueError:
            pass
    try:
        key = base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"key {number} is not {KEY_BYTES} bytes in base64 or hex: make one with openssl rand -base64 {KEY_BYTES}"
        )
    return key
