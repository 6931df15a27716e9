"""Every method of the protocol: what the gateway tells, and what it may be asked.

The JSON Schema, the AsyncAPI document and `omnigate call` are generated from these tables.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from normalizer import model
from normalizer.call_requests import CALL_REQUESTS
from normalizer.calls import CALL_NOTIFICATIONS
from normalizer.model import Address, EventParams, MessageRef
from normalizer.params import Params as Params  # noqa: PLC0414 -- part of this module, where most look for it
from normalizer.parts import AnyPart, Media

NOTIFICATIONS: dict[str, type[EventParams]] = {
    "message.received": model.MessageParams,
    "message.updated": model.MessageParams,
    "message.deleted": model.DeletedParams,
    "message.quarantined": model.QuarantinedParams,
    "message.status": model.StatusParams,
    "message.transcribed": model.TranscribedParams,
    "reaction.added": model.ReactionParams,
    "reaction.removed": model.ReactionParams,
    "receipt.delivered": model.ReceiptParams,
    "receipt.read": model.ReceiptParams,
    "typing.started": model.ActivityParams,
    "typing.stopped": model.ActivityParams,
    "contact.identified": model.ActivityParams,
    "contact.opted_out": model.ActivityParams,
    "contact.opted_in": model.ActivityParams,
    "contact.blocked": model.ActivityParams,
    "conversation.started": model.ActivityParams,
    "conversation.ended": model.ActivityParams,
    "conversation.referral": model.ActivityParams,
    "media.stored": model.MediaParams,
    "media.failed": model.MediaParams,
    **CALL_NOTIFICATIONS,
    "channel.status": model.ChannelStatusParams,
    "channel.ledger": model.LedgerParams,
}
"""Method name → type of its params."""


class NoParams(Params, frozen=True, kw_only=True):
    """Nothing."""


class ChannelParams(Params, frozen=True, kw_only=True):
    """A request about one channel."""

    channel: str


class SendParams(Params, frozen=True, kw_only=True):
    """`message.send`.

    Attributes:
        channel: id of the channel.
        to: the recipient; a bare string is an address of the channel's own scheme.
        conversation: `cnv_…` of an earlier message, instead of `to`.
        parts: what to send; or `text`, short for one plain text part.
        idempotency_key: the same key gives the same answer and one message, within the dedup window.
        not_after: do not try any more after this time; the answer is then `-32011 expired`.
        in_response_to: the message this answers, where the provider takes passive replies.
        fallback: what to do with a part type the channel lacks: fail, or send its plain text.
    """

    channel: str
    to: Address | str | None = None
    conversation: str | None = None
    parts: tuple[AnyPart, ...] = ()
    text: str | None = None
    subject: str | None = None
    reply_to: MessageRef | None = None
    thread: str | None = None
    idempotency_key: str | None = None
    not_after: datetime | None = None
    in_response_to: str | None = None
    fallback: Literal["error", "degrade"] = "error"
    metadata: dict[str, dict[str, str]] = {}


class EditParams(Params, frozen=True, kw_only=True):
    """`message.edit`: replace the content of a message we sent."""

    channel: str
    message: MessageRef
    text: str | None = None
    parts: tuple[AnyPart, ...] = ()
    to: Address | str | None = None
    conversation: str | None = None


class DeleteParams(Params, frozen=True, kw_only=True):
    """`message.delete`: take back a message we sent."""

    channel: str
    message: MessageRef
    to: Address | str | None = None
    conversation: str | None = None


class ReactParams(Params, frozen=True, kw_only=True):
    """`reaction.send`: an empty `emoji` takes the reaction back."""

    channel: str
    message: MessageRef
    emoji: str = ""
    to: Address | str | None = None
    conversation: str | None = None


class TypingParams(Params, frozen=True, kw_only=True):
    """`typing.send`; `message` is the one being answered, which WhatsApp wants to know."""

    channel: str
    message: MessageRef | None = None
    to: Address | str | None = None
    conversation: str | None = None


class ReceiptSendParams(Params, frozen=True, kw_only=True):
    """`receipt.send`: tell the provider that the customer's message was read."""

    channel: str
    message: MessageRef
    to: Address | str | None = None
    conversation: str | None = None


class Agent(Params, frozen=True, kw_only=True):
    """Somebody who answers: `name`, and the URL of a picture."""

    name: str
    avatar: str | None = None


class PresenceParams(Params, frozen=True, kw_only=True):
    """`presence.send`: tell customers who is there; without `to` and `conversation` all of the channel.

    Attributes:
        agents: who answers in this conversation, or on this channel.
    """

    channel: str
    status: Literal["online", "away", "offline"]
    agents: tuple[Agent, ...] = ()
    to: Address | str | None = None
    conversation: str | None = None


class EndParams(Params, frozen=True, kw_only=True):
    """`conversation.end`: close a conversation; the customer goes on with it by writing again."""

    channel: str
    reason: str | None = None
    to: Address | str | None = None
    conversation: str | None = None


class MediaGetParams(Params, frozen=True, kw_only=True):
    """`media.get`: fetch and keep a media item; answers a `Media` with a signed `url`."""

    channel: str
    media: Media


class QuarantineParams(Params, frozen=True, kw_only=True):
    """`quarantine.list|redrive|discard`: no `ids` means all."""

    ids: tuple[int, ...] = ()
    channel: str | None = None


REQUESTS: dict[str, type[Params]] = {
    "message.send": SendParams,
    "message.edit": EditParams,
    "message.delete": DeleteParams,
    "reaction.send": ReactParams,
    "typing.send": TypingParams,
    "receipt.send": ReceiptSendParams,
    "presence.send": PresenceParams,
    "conversation.end": EndParams,
    "media.get": MediaGetParams,
    **CALL_REQUESTS,
    "channel.list": NoParams,
    "channel.get": ChannelParams,
    "channel.capabilities": ChannelParams,
    "channel.verify": ChannelParams,
    "channel.pause": ChannelParams,
    "channel.resume": ChannelParams,
    "channel.reload": NoParams,
    "quarantine.list": QuarantineParams,
    "quarantine.redrive": QuarantineParams,
    "quarantine.discard": QuarantineParams,
    "gateway.ping": NoParams,
}
"""Method name → type of its params."""


def routing_key(channel_type: str, channel_id: str, method: str) -> str:
    """Name an event on the topic exchange: ``v1.<channel_type>.<channel_id>.<noun>.<verb>``."""
    return f"v1.{topic_word(channel_type)}.{topic_word(channel_id)}.{method}"


def topic_word(word: str) -> str:
    """Replace what has a meaning in an AMQP topic (``.``, ``*``, ``#``), so that an id stays one word."""
    return word.translate(_TOPIC)


_TOPIC = str.maketrans({".": "-", "*": "-", "#": "-"})
