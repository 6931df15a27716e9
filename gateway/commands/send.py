"""`omnigate send`: a text or a file on a channel, through the broker to the running gateway."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from gateway.commands import call as asking
from gateway.commands.connected import connected
from gateway.commands.console import Config, Failure
from gateway.commands.messages import TIMEOUT_SECS, Seconds
from gateway.commands.putting import part_of, put_in
from normalizer.parts import AnyPart


async def send(
    *,
    channel: str,
    text: str | None = None,
    file: Path | None = None,
    to: str | None = None,
    conversation: str | None = None,
    reply_to: str | None = None,
    idempotency_key: str | None = None,
    config: Config = None,
    timeout: Seconds = TIMEOUT_SECS,  # noqa: ASYNC109 -- of the request
) -> int:
    """Send a text, or a file, and print the answer: short for `omnigate call message.send`, which can do more.

    For example: omnigate send --channel shop --to 4711 --text "It is on its way"

    Args:
        channel: id of the channel.
        text: what to say; with --file its caption.
        file: a file to send: as image, audio or video if it is one.
        to: address of the recipient or of the conversation, as the channel writes it.
        conversation: id (cnv_…) of the conversation of an earlier message, instead of --to.
        reply_to: the provider's id of the message that is answered.
        idempotency_key: the same key gives the same answer and one message; without one every call sends.
        config: the configuration.
        timeout: seconds to wait for the answer.
    """
    if (to is None) == (conversation is None):
        raise Failure("say to whom: either --to ADDRESS or --conversation ID")
    if text is None and file is None:
        raise Failure("say what: --text, --file, or both")
    parts: tuple[AnyPart, ...] = ()
    if file is not None:
        media = await put_in(file, config)
        text, parts = None, (part_of(replace(media, caption=text)),)
    async with connected(config) as broker:
        return await asking.send(
            broker,
            channel=channel,
            to=to,
            conversation=conversation,
            text=text,
            parts=parts,
            reply_to=reply_to,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
