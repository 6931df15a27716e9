"""LMTP (RFC 2033): SMTP without a queue behind the client, therefore with an answer for each recipient."""

from __future__ import annotations

from typing_extensions import override

from connectors.email import replies
from connectors.email.delivery import Outcome
from connectors.email.smtp import REPLIES, Connection


class LmtpConnection(Connection):
    """A mail server's connection: LHLO instead of HELO and EHLO, several answers to DATA."""

    name = "LMTP"

    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802 -- aiosmtpd's name
        """Greet (§4.1)."""
        await self._greet(hostname, extended=True)

    @override
    async def smtp_HELO(self, hostname: str) -> None:
        await self.push(replies.IS_LMTP)

    @override
    async def smtp_EHLO(self, hostname: str) -> None:
        await self.push(replies.IS_LMTP)

    @override
    def answers(self, outcome: str | list[Outcome], recipients: int) -> list[str]:
        """Answer for each recipient in the order of the RCPT commands (§4.2)."""
        return [outcome] * recipients if isinstance(outcome, str) else [REPLIES[one] for one in outcome]
