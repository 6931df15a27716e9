"""What keeps mails of machines from answering each other for ever.

- A mail marked as automatic (``metadata.email.auto = "true"``) is refused where the mail it answers was written by a
  machine, is a report, came through a list, is spam or a loop (RFC 3834 §2), and where it would go to a mail system or
  to the channel itself.
- Whatever the marks say, one address gets no more than so many mails per hour: two machines that hide what they are
  stop after that number. A mail that is tried again counts once.

What came in is remembered in the channel's state for `REMEMBER_SECS`, so all workers and nodes know it. Without the
state automatic mails wait (they are tried again), and others pass uncounted: a human's answer does not wait for a
guard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from connectors.api import State
from connectors.email.routing import Pattern, Routes
from connectors.errors import Refused, StateUnavailable, Unreachable
from normalizer import ids
from normalizer.mail import classify, identity
from normalizer.mail.address import addresses
from normalizer.mail.mime import Entity
from normalizer.mail.tokens import Tokens
from normalizer.raw import Outbound

REMEMBER_SECS = 30 * 86_400.0
QUIET_SECS = 3_600.0
"""How long after an automatic mail its sender gets no automatic mail that does not say what it answers."""
HOUR = 3_600.0
TRIES = 8

_SYSTEMS = {"mailer-daemon", "postmaster", "mail-daemon", "listserv", "majordomo"}


def is_automatic(message: Outbound) -> bool:
    """Tell whether the caller marked a message as written by a machine."""
    return message.metadata.get("email", {}).get("auto", "").strip().lower() in {"true", "1", "yes"}


class AnswersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`answers`: how many mails one address may get, so that two machines cannot answer each other for ever.

    Attributes:
        per_hour: mails of any kind to one address within an hour; more are refused. 0 is unlimited.
        automatic_per_hour: of these, mails marked `metadata.email.auto = "true"`. 0 is unlimited.
    """

    per_hour: Annotated[int, Meta(ge=0)] = 60
    automatic_per_hour: Annotated[int, Meta(ge=0)] = 5


class Sendings(Struct, array_like=True):
    """One mail to an address: when, in seconds; which, ``msg_…``; whether it was automatic."""

    at: float
    id: str
    automatic: bool


class Backstop:
    """Refuses what would keep a loop going; one per channel."""

    def __init__(
        self,
        state: State,
        config: AnswersConfig,
        *,
        channel: str,
        tokens: Tokens | None,
        own: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Guard a channel.

        Args:
            state: of the channel.
            config: how many mails one address may get.
            channel: id of the channel.
            tokens: recognise what is our own.
            own: addresses of the channel, as configured.
            clock: seconds since the epoch.
        """
        self._state, self._config, self._clock = state, config, clock
        self._channel, self._tokens = channel, tokens
        self._own: Routes[str] = Routes()
        self._own.add([Pattern.parse(one) for one in dict.fromkeys(own)], channel)

    async def observe(self, body: bytes, mail_from: str | None, recipients: list[str]) -> None:
        """Remember a mail that came in, if no machine may answer it; call it before the core can see the mail.

        Args:
            body: the mail.
            mail_from: sender of the envelope, None where the transport does not tell.
            recipients: of the envelope.

        Raises:
            StateUnavailable: it could not be remembered; the limit per hour is what remains.
        """
        root = Entity(body, 0, len(body), "", "text/plain")
        ours = frozenset(one.lower() for one in recipients)
        loop = classify.is_loop(root.fields, self._tokens, self._channel, ours)
        flags = classify.flags_of(root, None, None, mail_from, loop=loop, third_party=False)
        if classify.may_answer_automatically(flags):
            return
        own = identity.message_id(root) or identity.content_id(root)
        await self._state.put(_mail(ids.message_id(self._channel, "", own)), b"1", ttl=REMEMBER_SECS)
        authors = [box.key for name in ("reply-to", "from") for box in addresses(root.fields.raw(name))[:1]]
        for one in dict.fromkeys(authors):
            await self._state.put(_quiet(one), b"1", ttl=QUIET_SECS)

    async def check(self, message: Outbound) -> None:
        """Let a mail pass, and count it.

        Raises:
            Refused: it would keep a loop going, or the address has had its share of this hour.
            Unreachable: whether it may go cannot be told now.
        """
        automatic = is_automatic(message)
        try:
            if automatic:
                await self._answerable(message)
            await self._count(message, automatic=automatic)
        except StateUnavailable as exc:
            if automatic:
                raise Unreachable("the store that knows what may be answered does not answer; try again") from exc

    async def _answerable(self, message: Outbound) -> None:
        address = message.to.value.strip().lower()
        if address.partition("@")[0] in _SYSTEMS or not address:
            raise Refused("an automatic mail must not go to a mail system (RFC 3834)")
        if self._own.find(address) is not None:
            raise Refused("an automatic mail must not go to the channel's own address: it would answer itself")
        answered = _answered(message, self._channel)
        keys = [_mail(one) for one in answered] or [_quiet(address)]
        for key in keys:
            if await self._state.get(key) is not None:
                raise Refused(
                    "an automatic mail must not answer a machine's mail, a report, a list or spam (RFC 3834); look at"
                    " `flags` of the message before answering"
                )

    async def _count(self, message: Outbound, *, automatic: bool) -> None:
        """Add the mail to those of the last hour, unless there are too many, or it is there already."""
        config = self._config
        if not config.per_hour and not (automatic and config.automatic_per_hour):
            return
        key = f"answers:{ids.digest(message.to.value.strip().lower())}"
        for _ in range(TRIES):
            known, now = await self._state.get(key), self._clock()
            recent = [one for one in _decoded(known) if now - HOUR < one.at <= now + HOUR]
            if any(one.id == message.id for one in recent):
                return
            self._limit(recent, automatic=automatic)
            recent.append(Sendings(at=now, id=message.id, automatic=automatic))
            if await self._state.swap(key, known, msgspec.msgpack.encode(recent), ttl=HOUR):
                return
        raise Unreachable("too many mails to one address at the same moment; try again")

    def _limit(self, recent: list[Sendings], *, automatic: bool) -> None:
        every, machine = self._config.per_hour, self._config.automatic_per_hour
        if every and len(recent) >= every:
            raise Refused(f"this address has had {every} mails within the hour, as in a loop; see `answers.per_hour`")
        if automatic and machine and sum(one.automatic for one in recent) >= machine:
            raise Refused(
                f"this address has had {machine} automatic mails within the hour, as in a loop; see"
                " `answers.automatic_per_hour`"
            )


def _answered(message: Outbound, channel: str) -> list[str]:
    """List our ids of the mail that is answered, as far as the caller says."""
    found = [message.in_response_to] if message.in_response_to else []
    if message.reply_to is not None:
        provider_id = message.reply_to.provider_id
        found += [message.reply_to.id] if message.reply_to.id else []
        found += [ids.message_id(channel, "", provider_id.strip("<> "))] if provider_id else []
    return list(dict.fromkeys(found))


def _decoded(value: bytes | None) -> list[Sendings]:
    try:
        return msgspec.msgpack.decode(value or b"\x90", type=list[Sendings])
    except msgspec.MsgspecError:
        return []


def _mail(message_id: str) -> str:
    return f"no-answer:{message_id}"


def _quiet(address: str) -> str:
    return f"quiet:{ids.digest(address)}"
