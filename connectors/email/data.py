"""The mail data of SMTP: find its end, undo the dots (RFC 5321 §4.1.1.4 and §4.5.2)."""

from __future__ import annotations

import re

END = b"\r\n.\r\n"
_LOOK_ALIKE = re.compile(rb"[\r\n]\.[\r\n]")


class DataReader:
    """Collects chunks until the end of data, which is ``CRLF . CRLF`` and nothing else.

    Beyond `limit` bytes nothing is kept, but the end is still looked for: the refusal has to wait for it.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self._limit = limit
        self._chunks: list[bytes] = [b"\r\n"]  # the line break that ended the DATA command
        self._tail = b"\r\n"
        self.size = 0
        self.too_large = False

    def feed(self, chunk: bytes) -> bytes | None:
        """Add what arrived; returns what follows the end of data, or None while the end has not come."""
        window = self._tail + chunk
        found = window.find(END)
        if found < 0:
            self._tail = window[-(len(END) - 1) :]
            self._keep(chunk)
            return None
        end = found + len(END)
        self._keep(chunk[: max(0, end - len(window) + len(chunk))])
        return window[end:]

    def drop(self) -> None:
        """Keep nothing of this mail."""
        self.too_large = True
        self._chunks = []

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit + len(END):
            self.drop()
        elif not self.too_large:
            self._chunks.append(data)

    def mail(self) -> bytes | None:
        """The mail with its dots undone, once its end was found.

        None when it holds an imitation of the end of data, made of bare CR or LF. Servers that take one for the end
        can be tricked into reading the rest as a second mail with a sender of the attacker's choice ("SMTP smuggling",
        CVE-2023-51764 and others); no program writes it by accident, because a line with a single dot is sent as two.
        """
        data = b"".join(self._chunks)
        self._chunks = []
        imitation = _LOOK_ALIKE.search(data, 1)
        if imitation and imitation.start() < len(data) - len(END) + 1:
            return None
        return data[: -len(END) + 2].replace(b"\r\n.", b"\r\n")[2:]
