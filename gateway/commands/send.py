"""`omnigate send`: a text on a channel, through the broker to the running gateway."""

from __future__ import annotations

from gateway.commands import call as asking
from gateway.commands.connected import connected
from gateway.commands.console import Config, Failure
from gateway.commands.messages import TIMEOUT_SECS, Seconds


async def send(
    *,
    channel: str,
    text: str,
    to: str | None = None,
    conversation: str | None = None,
    reply_to: str | None = None,
    idempotency_key: str | None = None,
    config: Config = None,
    timeout: Seconds = TIMEOUT_SECS,  # noqa: ASYNC109 -- of the request
) -> int:
    """Send a text and print the answer: short for `omnigate call message.send`, which can do more.

    For example: omnigate send --channel shop --to 4711 --text "It is on its way"

    Args:
        channel: id of the channel.
        text: what to say.
        to: address of the recipient or of the conversation, as the channel writes it.
        conversation: id (cnv_…) of the conversation of an earlier message, instead of --to.
        reply_to: the provider's id of the message that is answered.
        idempotency_key: the same key gives the same answer and one message; without one every call sends.
        config: the configuration.
        timeout: seconds to wait for the answer.
    """
    if (to is None) == (conversation is None):
        raise Failure("say to whom: either --to ADDRESS or --conversation ID")
    async with connected(config) as broker:
        return await asking.send(
            broker,
            channel=channel,
            to=to,
            conversation=conversation,
            text=text,
            reply_to=reply_to,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
