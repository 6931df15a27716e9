"""From the params of `message.send` to the message a connector sends: checked, complete, degraded where asked.

Pure: the one thing that needs a store, the address of a conversation, is looked up by the caller.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from connectors.api import Capabilities
from gateway.outbound_words import all_words, words
from normalizer import ids, rpc
from normalizer.errors import Unsendable
from normalizer.methods import SendParams
from normalizer.model import Address, ChannelRef
from normalizer.parts import AnyPart, Choice, MediaPart, Text
from normalizer.raw import Outbound
from normalizer.rpc import RpcError
from normalizer.text import plain

SCHEMES = {"email": "mailto", "sip": "sip"}
"""Kinds whose addresses are not named after the kind."""


def check(params: SendParams) -> None:
    """Refuse what no channel can make sense of; raises `RpcError` (invalid params) that says what to do."""
    if (params.to is None) == (params.conversation is None):
        raise _invalid("give either `to` or `conversation`" + (", not both" if params.to else ""), "$.to")
    if not (params.to.value if isinstance(params.to, Address) else params.to or params.conversation):
        raise _invalid("the recipient is empty", "$.to" if params.to is not None else "$.conversation")
    if bool(params.parts) == (params.text is not None):
        raise _invalid("give either `parts` or `text`" + (", not both" if params.parts else ""), "$.parts")
    if params.text is not None and not params.text.strip():
        raise _invalid("`text` is empty", "$.text")
    if params.reply_to is not None and params.reply_to.provider_id is None:
        raise _invalid("give the `provider_id` of the message that is answered", "$.reply_to.provider_id")
    if params.not_after is not None and params.not_after.tzinfo is None:
        raise _invalid("`not_after` needs a time zone, such as a final Z", "$.not_after")


def _invalid(message: str, path: str) -> RpcError:
    return RpcError(rpc.INVALID_PARAMS, f"{message} - at `{path}`")


def address_of(to: Address | str, kind: str) -> Address:
    """Complete a bare string with the scheme of a channel of `kind`."""
    return to if isinstance(to, Address) else Address(scheme=SCHEMES.get(kind, kind), value=to)


def lane_of(channel_id: str, to: Address | str | None, conversation: str | None) -> str:
    """Name the recipient whose messages must stay in order; the same for an address and for its conversation."""
    if to is None:
        return conversation or ""
    return ids.conversation_id(channel_id, to.value if isinstance(to, Address) else to)


def content_of(params: SendParams) -> str:
    """Hash what is to be sent, to tell a repeated request from another one under the same key.

    `not_after` is left out: a client that asks again may well set a later one.
    """
    return ids.digest(msgspec.json.encode(replace(params, not_after=None)).decode())


def message_of(
    params: SendParams, to: Address, *, message_id: str, channel: ChannelRef, capabilities: Capabilities
) -> Outbound:
    """Build the message.

    Raises:
        Unsendable: a part is beyond the channel and `fallback` is ``error``.
    """
    parts = params.parts or (Text(body=params.text or ""),)
    parts = fitted(parts, capabilities, degrade=params.fallback == "degrade")
    return Outbound(
        id=message_id,
        channel=channel,
        to=to,
        parts=parts,
        text=plain(parts),
        reply_to=params.reply_to,
        thread=params.thread,
        subject=params.subject,
        conversation=lane_of(channel.id, params.to, params.conversation),
        in_response_to=params.in_response_to,
        metadata=params.metadata,
    )


def fitted(parts: tuple[AnyPart, ...], able: Capabilities, *, degrade: bool) -> tuple[AnyPart, ...]:
    """Replace parts that are beyond the channel by their words, or raise `Unsendable` for the first of them."""
    return tuple(_fitted(part, able, degrade=degrade) for part in parts)


def _fitted(part: AnyPart, able: Capabilities, *, degrade: bool) -> AnyPart:
    beyond = _beyond(part, able)
    if beyond is None:
        return part
    if not degrade or "text" not in able.parts:
        raise beyond
    return Text(body=words(part))


def _beyond(part: AnyPart, able: Capabilities) -> Unsendable | None:
    """Say what of a part is beyond the channel; None if nothing is."""
    tag = _tag(part)
    if tag not in able.parts:
        return Unsendable(tag, able.parts)
    if isinstance(part, Choice) and able.choices:
        most = able.choices.get(part.kind)
        if most is None:
            return Unsendable(f"choice of kind {part.kind}", tuple(able.choices))
        if len(part.items) > most:
            return Unsendable(f"{part.kind} with {len(part.items)} items", (f"{part.kind} with at most {most}",))
    size, limit = part.media.size if isinstance(part, MediaPart) else None, able.media.get(tag)
    if size is not None and limit is not None and size > limit:
        return Unsendable(f"{tag} of {size} bytes", (f"{tag} of at most {limit} bytes",))
    return None


def in_words(message: Outbound) -> Outbound:
    """Reduce a message to one plain text, for a connector that could not express it after all; raises `Unsendable`."""
    return replace(message, parts=(Text(body=all_words(message.parts)),))


def _tag(part: AnyPart) -> str:
    return str(part.__struct_config__.tag)
