"""What becomes of mails in the mailbox once they are durable."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from connectors.api import Context
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_session import HANDLED, NotDone, Session
from connectors.email.imap_text import Selected

COMPONENT = "imap-after"


class After:
    """Flags, moves or deletes, as configured; a server that refuses that costs no mail, and is told."""

    def __init__(self, config: ImapConfig, context: Context, session: Session, folder: Selected) -> None:
        """Work in the folder that `session` has open."""
        self._config, self._context, self._session = config, context, session
        self.keyword = HANDLED if folder.keeps & {r"\*", HANDLED.lower()} else None

    async def skipped(self, last: int) -> None:
        """Mark the mails that are not to be read, so that they are known when the server counts anew."""
        if self.keyword is None or last < 1 or self._config.after == "nothing":
            return
        await self._try(self._session.flag_to(last, self.keyword))

    async def handled(self, uids: list[int]) -> None:
        """Treat mails that became events."""
        if not uids or self._config.after == "nothing":
            return
        if self._config.after == "move":
            await self._try(self._session.move(uids, self._config.move_to))
        elif self._config.after == "delete":
            await self._try(self._session.delete(uids))
        else:
            await self._try(self._session.flag(uids, r"\Seen", *([self.keyword] if self.keyword else [])))

    async def quarantined(self, uids: list[int]) -> None:
        """Treat mails that could not be understood, and are kept."""
        if uids and self._config.after != "nothing":
            await self._try(self._session.move(uids, self._config.quarantine_folder))

    async def _try(self, action: Coroutine[Any, Any, None]) -> None:
        try:
            await action
        except NotDone as exc:
            self._context.report(COMPONENT, f"mails stay where they are, although `after` says otherwise: {exc}")
        else:
            self._context.report(COMPONENT, None)
