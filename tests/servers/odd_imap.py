"""An IMAP server with the habits of servers that cannot be installed here; each test says which."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Answer = Callable[[str], bytes | None]
"""Takes a command without its tag; the bytes to send before the tagged OK, or all of them with ``{tag}``, or None."""
_PARTIAL = re.compile(r"UID FETCH (\d+) \(UID BODY\.PEEK\[(HEADER)?\]<(\d+)\.(\d+)>\)")
_SIZES = re.compile(r"UID FETCH ([\d:,]+) \(UID RFC822\.SIZE\)")


class OddImap:
    """One mailbox with one folder, in memory.

    Attributes:
        mails: UID → mail.
        greeting: the first line.
        capabilities: announced.
        answers: by the beginning of a command; what they return is sent instead of what a good server would say.
        commands: received, without tags, literals or passwords changed.
        sizes: UID → size told, where it is not the mail's.
        select: lines of the answer to SELECT.
    """

    def __init__(self, mails: dict[int, bytes] | None = None) -> None:
        """Hold `mails`."""
        self.mails = mails or {}
        self.greeting = b"* OK ready\r\n"
        self.capabilities = "IMAP4rev1 IDLE UIDPLUS"
        self.answers: dict[str, Answer] = {}
        self.commands: list[str] = []
        self.sizes: dict[int, int] = {}
        self.select = b"* OK [UIDVALIDITY 9] x\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted)] x\r\n"
        self.connections = 0
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[OddImap]:
        """Listen while the context is open."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        writer.write(self.greeting)
        try:
            while line := await reader.readline():
                tag, _, command = line.decode().strip().partition(" ")
                self.commands.append(command or tag)
                writer.write(await self._answer(tag, command, reader, writer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, tag: str, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        for beginning, make in self.answers.items():
            if command.startswith(beginning):
                made = make(command)
                if made is not None:
                    return made.replace(b"{tag}", tag.encode()) if b"{tag}" in made else made + _ok(tag)
        if command.startswith("AUTHENTICATE") and command.count(" ") == 1:
            writer.write(b"+ \r\n")
            self.commands.append((await reader.readline()).decode().strip())
        if command == "IDLE":
            writer.write(b"+ idling\r\n")
            await reader.readline()
        return self._usual(command) + _ok(tag)

    def _usual(self, command: str) -> bytes:
        if command == "CAPABILITY":
            return f"* CAPABILITY {self.capabilities}\r\n".encode()
        if command.startswith(("SELECT", "EXAMINE")):
            return self.select + f"* {len(self.mails)} EXISTS\r\n".encode()
        if command.startswith("UID SEARCH"):
            return f"* SEARCH {' '.join(str(uid) for uid in self.mails)}\r\n".encode()
        if (found := _SIZES.fullmatch(command)) is not None:
            return b"".join(
                f"* {number} FETCH (UID {uid} RFC822.SIZE {self.sizes.get(uid, len(mail))})\r\n".encode()
                for number, (uid, mail) in enumerate(self.mails.items(), 1)
                if uid in _numbers(found[1])
            )
        if (found := _PARTIAL.fullmatch(command)) is not None and int(found[1]) in self.mails:
            whole = self.mails[int(found[1])]
            whole = whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if found[2] else whole
            data = whole[int(found[3]) : int(found[3]) + int(found[4])]
            return self.literal(int(found[1]), int(found[3]), data)
        return b""

    def literal(self, uid: int, offset: int, data: bytes) -> bytes:
        """Write a piece as servers do, with flags of somebody else's doing between."""
        head = f"* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (BODY[]<{offset}> {{{len(data)}}}\r\n".encode()
        return head + data + f" UID {uid} FLAGS (\\Recent (odd\\) ))\r\n".encode()


def _ok(tag: str) -> bytes:
    return f"{tag} OK done\r\n".encode()


def _numbers(uids: str) -> set[int]:
    found: set[int] = set()
    for run in uids.split(","):
        first, _, last = run.partition(":")
        found |= set(range(int(first), int(last or first) + 1))
    return found
