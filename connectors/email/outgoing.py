"""Sending: from a message to the mail server that carries it on.

``sent`` means that this server has taken responsibility for the mail; what becomes of it later comes back as a report
(RFC 3464) and is told as another `message.status`. What can go wrong, and what is told:

* a temporary refusal of a recipient (4yz): `Deferred`; the message is tried again, its domain is left alone meanwhile,
  messages to other domains go on;
* several recipients, and some are refused: the mail goes to the others. Who is refused for good is told in
  ``metadata.email.recipients`` of `message.status`; who may take it later is tried again, alone;
* the answer to a complete mail is lost: nobody knows whether it was taken. It is sent again with the same Message-ID,
  which is derived from the message's own id, so that the receiving side can recognise it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from connectors.api import Context, Sent
from connectors.email import outgoing_errors as errors
from connectors.email.backstop import Backstop
from connectors.email.oauth import OAuth
from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.outgoing_dkim import sign
from connectors.email.outgoing_domains import Domains, domain_of
from connectors.email.outgoing_draft import Drafter, Letter, addressed
from connectors.email.outgoing_errors import Refusal
from connectors.email.outgoing_pool import Pool
from connectors.email.outgoing_smtp import Envelope, Handed, hand_over
from connectors.email.threads import Threads
from connectors.errors import Deferred, Refused, SendError
from normalizer.mail.address import addresses
from normalizer.mail.compose import compose, is_international
from normalizer.mail.tokens import Tokens
from normalizer.raw import Outbound

INLINE_MAX = 262_144
"""Bytes of attachments put together in the event loop; more go to a thread."""
REMEMBERED = 1_024
"""Messages of which some recipients wait for another try."""


class Tried(Struct):
    """What earlier tries of a message came to: recipients who have it, and who will never."""

    accepted: set[str]
    refused: dict[str, Refusal]


class Outgoing:
    """Sends the mails of one channel."""

    def __init__(
        self,
        config: OutgoingConfig,
        context: Context,
        *,
        tokens: Tokens,
        threads: Threads,
        backstop: Backstop,
        own: Iterable[str] = (),
        timeout: float = 20.0,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- mails carry the date
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet.

        Args:
            config: where and as whom.
            context: of the channel.
            tokens: sign what answers bring back.
            threads: what the channel's conversations are about.
            backstop: refuses what would keep a loop going.
            own: addresses of the channel, as configured.
            timeout: seconds to fetch one attachment.
            clock: seconds since the epoch.
            steady: seconds that never jump.
        """
        self.config, self._clock = config, clock
        self._oauth = None if config.oauth is None else OAuth(config.oauth, context, "smtp", clock=clock)
        self.pool = Pool(config, oauth=self._oauth, steady=steady)
        self._threads, self._backstop = threads, backstop
        self._drafter = Drafter(config, context, tokens, own, timeout)
        self._domains = Domains(base=config.defer_secs, cap=config.defer_cap_secs, steady=steady)
        self._tried: dict[str, Tried] = {}

    async def run(self) -> None:
        """Keep connections between mails, and access tokens fresh, until cancelled."""
        if self._oauth is None:
            await self.pool.run()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pool.run())
            group.create_task(self._oauth.watch())

    async def access_ends(self) -> datetime | None:
        """Say when the access by tokens ends unless somebody signs in again; None where that is not known."""
        return None if self._oauth is None else await self._oauth.expiry()

    async def send(self, message: Outbound) -> Sent:
        """Send a message; see the module, and `connectors.errors` for what is raised."""
        name = next((box.name for box in addresses(message.to.value)), "")
        message = addressed(message)
        await self._backstop.check(message)
        thread = await self._threads.of(self._drafter.conversation(message))
        letter = await self._drafter.letter(message, name, thread, self._clock())
        tried = self._tried.get(message.id) or Tried(set(), {})
        waiting = [one for one in letter.recipients if one not in tried.accepted and one not in tried.refused]
        ready = [one for one in waiting if not self._domains.wait(domain_of(one))]
        handed = await self._hand_over(message, letter, ready)
        return await self._settle(message, letter, tried, handed)

    async def _hand_over(self, message: Outbound, letter: Letter, recipients: list[str]) -> Handed:
        if not recipients:
            return Handed(accepted=(), refused={})
        data = await self._built(letter)
        sender = self._drafter.return_path(message)
        envelope = Envelope(
            sender=sender,
            recipients=tuple(recipients),
            data=data,
            international=is_international(letter.draft) or not all(map(str.isascii, (sender, *recipients))),
        )
        try:
            async with self.pool.connection() as smtp:
                return await hand_over(
                    smtp, envelope, host=self.config.host, data_timeout=self.config.data_timeout_secs
                )
        except Deferred as exc:
            raise self._put_off(exc, recipients) from None

    async def _built(self, letter: Letter) -> bytes:
        draft, dkim = letter.draft, self.config.dkim

        def build() -> bytes:
            mail = compose(draft)
            if len(mail) > self.config.max_bytes:
                raise Refused(f"the mail has {len(mail)} bytes; `outgoing.max_bytes` allows {self.config.max_bytes}")
            return mail if dkim is None else sign(mail, dkim)

        large = sum(len(one.data) for one in draft.files) > INLINE_MAX
        return await asyncio.to_thread(build) if large or dkim is not None else build()

    async def _settle(self, message: Outbound, letter: Letter, tried: Tried, handed: Handed) -> Sent:
        for one in handed.accepted:
            self._domains.succeeded(domain_of(one))
        tried.accepted.update(handed.accepted)
        tried.refused.update((one, why) for one, why in handed.refused.items() if not why.passing)
        left = [one for one in letter.recipients if one not in tried.accepted and one not in tried.refused]
        if left:
            self._remember(message.id, tried)
            raise self._later(left, handed.refused, len(tried.accepted))
        self._tried.pop(message.id, None)
        if not tried.accepted:
            raise errors.of_recipient(next(iter(tried.refused.values())))
        draft = letter.draft
        await self._threads.add(letter.conversation, [*draft.references, draft.message_id], draft.subject)
        told = {"conversation": letter.conversation}
        return Sent((draft.message_id,), {**told, **_refused(tried.refused)} if tried.refused else told)

    def _remember(self, message_id: str, tried: Tried) -> None:
        self._tried[message_id] = tried
        if len(self._tried) > REMEMBERED:
            del self._tried[next(iter(self._tried))]

    def _later(self, left: list[str], refused: Mapping[str, Refusal], accepted: int) -> SendError:
        """Say why some recipients wait, and until when."""
        for domain in {domain_of(one) for one in left if one in refused}:
            self._domains.failed(domain)
        wait = min(self._domains.wait(domain_of(one)) for one in left)
        why = next((refused[one] for one in left if one in refused), None)
        those = f"{len(left)} of {len(left) + accepted} recipients" if accepted or len(left) > 1 else "the recipient"
        if why is None:
            return Deferred(f"{those}: the domain is left alone after a temporary refusal", retry_after=wait)
        return errors.deferred(f"{those} cannot take it now ({why.status})", why, wait)

    def _put_off(self, exc: Deferred, recipients: list[str]) -> Deferred:
        """Add how long to wait after a temporary refusal of the whole mail; the domain's, where there is one only."""
        domains = {domain_of(one) for one in recipients}
        wait = self._domains.failed(domains.pop()) if len(domains) == 1 else self.config.defer_secs
        return Deferred(str(exc), retry_after=wait, provider_code=exc.provider_code, provider_text=exc.provider_text)


def _refused(refused: Mapping[str, Refusal]) -> dict[str, list[dict[str, str]]]:
    """Tell of recipients in the words of a bounce (`normalizer.mail.report.Recipient`)."""
    told = [
        {"address": one, "action": "failed", "status": why.status, "diagnostic": why.words}
        for one, why in refused.items()
    ]
    return {"recipients": told}
