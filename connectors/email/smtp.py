"""The commands of an SMTP connection.

Not aiosmtpd's own where they decide about a mail: DATA comes in chunks instead of lines (its own refuses lines above
1000 octets), AUTH knows no passwords without TLS, EHLO and STARTTLS work on every event loop.
"""

from __future__ import annotations

import asyncio

from typing_extensions import override

from connectors.email import auth, replies
from connectors.email.data import Intake
from connectors.email.delivery import Mail, Outcome
from connectors.email.line import Line

HELO_MAX = 255
REPLIES = {
    Outcome.ACCEPTED: replies.ACCEPTED,
    Outcome.BUSY: replies.BUSY,
    Outcome.REFUSED: replies.NOT_UNDERSTOOD,
}


class Connection(Line):
    """A client's connection, from the greeting to QUIT."""

    @override
    async def smtp_HELO(self, hostname: str) -> None:
        await self._greet(hostname, extended=False)

    @override
    async def smtp_EHLO(self, hostname: str) -> None:
        await self._greet(hostname, extended=True)

    async def _greet(self, hostname: str | None, *, extended: bool) -> None:
        if not hostname:
            await self.push("501 Say who you are: EHLO hostname")
            return
        self.envelope = self._create_envelope()
        self.session.extended_smtp = extended
        self.session.host_name = hostname[:HELO_MAX].encode("utf-8", "replace").decode()
        lines = [self.hostname]
        if extended:
            lines += [f"SIZE {self.data_size_limit}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]
            lines += ["STARTTLS"] if self.tls_context and self.session.ssl is None else []
            lines += ["AUTH " + " ".join(auth.CHALLENGES)] if self._desk.users and self.session.ssl else []
        for line in lines[:-1]:
            await self.say(f"250-{line}")
        await self.say(f"250 {lines[-1]}")

    @override
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if arg or self.tls_context is None or self.session.ssl is not None:
            await self.push("501 STARTTLS takes no argument" if arg else "503 STARTTLS is not available here")
            return
        await self.push("220 2.0.0 Ready to start TLS")
        await self._encrypt()

    @override
    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push("252 Cannot verify, but will take mail for addresses of this server")

    @override
    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 See RFC 5321")

    @override
    async def smtp_AUTH(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        refusal = self._auth_refusal()
        if refusal is None:
            try:
                claimed = await auth.exchange(arg or "", self._challenge)
            except auth.NoCredentials as exc:
                refusal = exc.reply
            else:
                refusal = await self._login(claimed)
        await self.push(refusal or replies.AUTHENTICATED)

    def _auth_refusal(self) -> str | None:
        if not self._desk.users:
            return replies.NO_AUTH
        if self.session.ssl is None:
            return replies.NEEDS_TLS
        if self.session.authenticated or self.envelope.mail_from is not None:
            return replies.NO_AUTH_NOW
        return replies.TOO_MANY_FAILURES if self._desk.locked(self._peer) else None

    async def _login(self, claimed: auth.Credentials) -> str | None:
        if not auth.genuine(claimed, self._desk.users):
            self._desk.login_failed(self._peer)
            await asyncio.sleep(auth.FAILURE_SECS)
            return replies.WRONG_PASSWORD
        self.session.authenticated, self.session.auth_data = True, claimed.user
        return None

    async def _challenge(self, text: str) -> bytes:
        await self.say(f"334 {text}")
        try:
            line: bytes = await self._stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as exc:
            await self._stream.read(exc.consumed)
            raise auth.NoCredentials(replies.RESPONSE_TOO_LONG) from exc
        self._reset_timeout()
        return line.rstrip(b"\r\n")

    @override
    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 DATA takes no argument" if arg else replies.NO_RECIPIENT)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        config = self._desk.config
        self._reset_timeout(config.data_timeout_secs)
        intake = Intake(config.max_bytes, self._desk.reserve)
        try:
            if not await intake.receive(self._stream):
                return
            outcome = await self._deliver(intake.mail(bare_lf=config.bare_lf == "accept"))
        finally:
            intake.release()
        recipients, self.envelope = self.envelope.rcpt_tos, self._create_envelope()
        self._reset_timeout()
        for reply in self.answers(outcome, len(recipients)):
            await self.push(reply)

    def answers(self, outcome: str | list[Outcome], recipients: int) -> list[str]:
        """Turn what became of a mail into replies: one for all, which is "try again" unless nobody needs to.

        The channels that had taken it see it twice then, which their dedup store recognises.
        """
        if isinstance(outcome, str):
            return [outcome]
        order = (Outcome.BUSY, Outcome.ACCEPTED, Outcome.REFUSED)
        return [REPLIES[min(outcome, key=order.index)]]

    async def _deliver(self, body: bytes | str) -> str | list[Outcome]:
        """Hand a mail on; returns the refusal of all of it, or an outcome for each recipient."""
        if isinstance(body, str):
            return body
        sender = self.envelope.mail_from
        mail = Mail(
            body=body,
            sender="" if sender == "<>" else sender,
            peer=self._peer,
            helo=self.session.host_name,
            tls=self.session.ssl["version"] if self.session.ssl else "",
            user=self.session.auth_data if self.session.authenticated else "",
        )
        self._timeout_handle.cancel()  # the pipeline has its own deadlines
        return await self._desk.deliver(mail, self.envelope.rcpt_tos)
