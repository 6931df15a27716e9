"""How far a folder was read: UIDVALIDITY and UID, never a flag and never a date."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Context
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_memory import Memory
from connectors.email.imap_text import Selected

FOLDER = "imap"


class Position(Struct, frozen=True, kw_only=True):
    """A place in a folder.

    Attributes:
        validity: the folder's UIDVALIDITY.
        uid: every mail up to here is done.
        old: mails up to here were there when the UIDVALIDITY changed: what is marked as handled among them is.
        attempts: how often mails were about to be read from here; more than once when reading did not get on.
    """

    validity: int
    uid: int
    old: int = 0
    attempts: int = 0


class Cursor:
    """The position in one folder of one mailbox, kept in the shared state and in a local file."""

    def __init__(self, config: ImapConfig, context: Context) -> None:
        """Name the mailbox and the folder."""
        self._config = config
        self._memory = Memory(context, FOLDER, config.host.lower(), config.user, config.folder)
        self._log = context.log
        self.position = Position(validity=0, uid=0)

    async def resume(self, folder: Selected) -> bool:
        """Go to where reading goes on, in the folder as it was opened; tell whether it is the very first time.

        Raises:
            StateUnavailable: another node may have got further, and it cannot be told now.
            OSError: the position cannot be written down.
        """
        known = [one for copy in await self._memory.load() if (one := self._read(copy)) is not None]
        same = [one for one in known if one.validity == folder.validity]
        if same:
            here = max(same, key=lambda one: one.uid)
        elif known:
            self._log.warning("mailbox_was_rebuilt", folder=self._config.folder, mails=folder.exists)
            here = Position(validity=folder.validity, uid=0, old=max(folder.next_uid - 1, 0))
        else:
            start = 0 if self._config.start == "all" else max(folder.next_uid - 1, 0)
            here = Position(validity=folder.validity, uid=start)
        self.position = here
        await self._save()
        return not known

    async def attempt(self) -> int:
        """Note that reading begins; returns how often it has begun here, before anything was done."""
        self.position = replace(self.position, attempts=self.position.attempts + 1)
        await self._save()
        return self.position.attempts

    async def advance(self, uid: int) -> None:
        """Note that every mail up to `uid` is done; durable when it returns, unless nothing changes."""
        if uid > self.position.uid:
            self.position = replace(self.position, uid=uid, attempts=0)
            await self._save()

    def skip(self, uid: int) -> None:
        """Note that there is no mail up to `uid`; it need not be written down."""
        self.position = replace(self.position, uid=max(uid, self.position.uid))

    async def excuse(self) -> None:
        """Note that it is not the mails' fault that reading does not get on."""
        if self.position.attempts:
            self.position = replace(self.position, attempts=0)
            await self._save()

    async def _save(self) -> None:
        await self._memory.save(msgspec.json.encode(self.position))

    def _read(self, copy: bytes) -> Position | None:
        try:
            return msgspec.json.decode(copy, type=Position)
        except msgspec.MsgspecError:
            self._log.warning("stored_position_unreadable", folder=self._config.folder)
            return None
