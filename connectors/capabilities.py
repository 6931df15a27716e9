"""What a kind of channel can do, as data."""

from __future__ import annotations

from msgspec import Struct


class Capabilities(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a kind can do, as data (`channel.capabilities`).

    Attributes:
        receives: notifications it produces.
        parts: part types it can send.
        requests: requests it answers besides `message.send`.
        text_max: longest text in characters; longer ones are split.
        caption_max: longest caption of a media part in characters.
        choices: most items of a `choice`, by its kind; a kind that is not named cannot be sent. None named: the codec
            alone decides.
        media: largest file that can be sent, in bytes, by part type.
        reply_window_secs: how long after the customer's last message the provider takes messages that are no template.
        passive_secs: how long the provider waits for a reply in the HTTP answer to its delivery.
        notes: limits in words, with the page they come from.
    """

    receives: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    text_max: int | None = None
    caption_max: int | None = None
    choices: dict[str, int] = {}
    media: dict[str, int] = {}
    reply_window_secs: int | None = None
    passive_secs: float | None = None
    notes: tuple[str, ...] = ()
