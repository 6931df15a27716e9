"""What a Telegram message is made of (https://core.telegram.org/bots/api#message)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from normalizer import ids
from normalizer import parts as p
from normalizer.build import bounded
from normalizer.codecs import telegram_types as t
from normalizer.parts import AnyPart

ENVELOPE = frozenset({
    "message_id", "message_thread_id", "direct_messages_topic", "from", "sender_chat", "sender_boost_count",
    "sender_business_bot", "sender_tag", "date", "guest_query_id", "guest_bot_caller_user", "guest_bot_caller_chat",
    "business_connection_id", "chat", "forward_origin", "forward_from", "forward_from_chat", "forward_date",
    "forward_from_message_id", "forward_signature", "forward_sender_name", "is_topic_message", "is_automatic_forward",
    "reply_to_message", "external_reply", "quote", "reply_to_story", "reply_to_checklist_task_id",
    "reply_to_poll_option_id", "via_bot", "edit_date", "has_protected_content", "is_from_offline", "is_paid_post",
    "media_group_id", "author_signature", "paid_star_count", "entities", "link_preview_options", "effect_id",
    "caption", "caption_entities", "show_caption_above_media", "has_media_spoiler", "suggested_post_info",
    "reply_markup", "new_chat_participant", "new_chat_member", "left_chat_participant",
})  # fmt: skip
"""Fields of a message that say something about it; whatever else is there is its content."""

SERVICE = frozenset({
    "new_chat_members", "left_chat_member", "new_chat_title", "new_chat_photo", "delete_chat_photo",
    "group_chat_created", "supergroup_chat_created", "channel_chat_created", "chat_owner_left", "chat_owner_changed",
    "message_auto_delete_timer_changed", "migrate_to_chat_id", "migrate_from_chat_id", "pinned_message",
    "successful_payment", "refunded_payment", "users_shared", "chat_shared", "connected_website",
    "write_access_allowed", "proximity_alert_triggered", "boost_added", "chat_background_set", "checklist_tasks_done",
    "checklist_tasks_added", "direct_message_price_changed", "forum_topic_created", "forum_topic_edited",
    "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden", "general_forum_topic_unhidden",
    "giveaway_created", "giveaway_completed", "gift_upgrade_sent", "managed_bot_created", "paid_message_price_changed",
    "poll_option_added", "poll_option_deleted", "suggested_post_approved", "suggested_post_approval_failed",
    "suggested_post_declined", "suggested_post_paid", "suggested_post_refunded", "video_chat_scheduled",
    "video_chat_started", "video_chat_ended", "video_chat_participants_invited",
})  # fmt: skip
"""Fields of service messages; any other content that is not read becomes `unsupported`."""


METADATA = ("media_group_id", "has_media_spoiler", "forward_origin", "external_reply", "quote", "is_automatic_forward")


def timestamp(seconds: int) -> datetime:
    """Read Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def content(message: t.Message, channel_id: str, fields: Callable[[], dict[str, Any]]) -> list[AnyPart]:
    """List the parts of a message.

    Args:
        message: as Telegram sent it.
        channel_id: media ids are derived from it.
        fields: reads the message again with all its fields; called only for content that has no type of its own here.
    """
    if message.text is not None:
        return [p.Text(body=message.text)]
    part = _media(message, channel_id) or _structured(message)
    if part is not None:
        return [part]
    rest = {name: value for name, value in fields().items() if name not in ENVELOPE and value is not None}
    found: list[AnyPart] = [_other(name, value) for name, value in rest.items()]
    if message.caption:
        found.append(p.Text(body=message.caption))
    return found or [p.Unsupported(provider_type="empty")]


def _media(message: t.Message, channel_id: str) -> p.MediaPart | None:
    def media(file: t.File, mime: str | None = None, *, voice: bool = False) -> p.Media:
        return p.Media(
            id=ids.media_id(channel_id, file.file_unique_id or file.file_id),
            mime=file.mime_type or mime,
            name=file.file_name or file.title,
            size=file.file_size,
            width=file.width if file.length is None else file.length,
            height=file.height if file.length is None else file.length,
            duration_ms=None if file.duration is None else file.duration * 1000,
            caption=message.caption or None,
            voice=voice,
            status="pending",
            provider_id=file.file_id,
        )

    if message.photo:
        return p.Image(media=media(max(message.photo, key=_area), "image/jpeg"))
    if message.voice:
        return p.Audio(media=media(message.voice, "audio/ogg", voice=True))
    if message.audio:
        return p.Audio(media=media(message.audio))
    for video in (message.animation, message.video, message.video_note):
        if video:
            return p.Video(media=media(video, "video/mp4"))
    if message.document:  # after animation, which repeats itself here for old clients
        return p.File(media=media(message.document))
    if message.sticker:
        return p.Sticker(media=media(message.sticker, _sticker_mime(message.sticker)), emoji=message.sticker.emoji)
    return None


def _area(file: t.File) -> int:
    return (file.width or 0) * (file.height or 0)


def _sticker_mime(file: t.File) -> str:
    if file.is_video:
        return "video/webm"
    return "application/x-tgsticker" if file.is_animated else "image/webp"


def _structured(message: t.Message) -> AnyPart | None:
    if message.venue:  # before location, which repeats it
        return _location(message.venue.location, message, message.venue)
    if message.location:
        return _location(message.location, message, None)
    if message.contact:
        card = message.contact
        name = f"{card.first_name} {card.last_name}".strip()
        return p.Contact(name=name, phones=(card.phone_number,), vcard=card.vcard)
    if message.dice:
        return p.Text(body=f"{message.dice.emoji} {message.dice.value}")
    if message.poll:
        options = enumerate(message.poll.options)
        items = tuple(p.ChoiceItem(id=str(index), title=option.text) for index, option in options)
        return p.Choice(kind="list", body=message.poll.question, items=items)
    if message.web_app_data:
        return _form(message.web_app_data)
    return None


def _location(place: t.Location, message: t.Message, venue: t.Venue | None) -> p.Location:
    return p.Location(
        lat=place.latitude,
        lon=place.longitude,
        name=venue.title if venue else None,
        address=(venue.address or None) if venue else None,
        live_until=timestamp(message.date + place.live_period) if place.live_period else None,
    )


def _form(form: t.WebAppData) -> p.FormReply:
    try:
        data = msgspec.json.decode(form.data)
    except (msgspec.DecodeError, RecursionError):
        data = None
    return p.FormReply(form_id=form.button_text, data=bounded(data) if isinstance(data, dict) else {"data": form.data})


def _other(name: str, value: Any) -> AnyPart:
    if name in SERVICE:
        return p.System(event=name, args=as_args(value))
    return p.Unsupported(provider_type=name)


def as_args(value: Any) -> dict[str, Any]:
    """Make the arguments of a `system` part from whatever Telegram sent."""
    return bounded(value) if isinstance(value, dict) else {"value": bounded(value)}


def metadata(message: t.Message, update_id: int, kind: str) -> dict[str, Any]:
    """Collect what only Telegram has, for `metadata.telegram`."""
    extra: dict[str, Any] = {"update_id": update_id}
    if kind != "message":
        extra["update"] = kind
    for name in METADATA:
        value = getattr(message, name)
        if value:
            extra[name] = bounded(value)
    if message.entities or message.caption_entities:
        extra["entities"] = bounded(list(message.entities or message.caption_entities))
    if message.business_connection_id:
        extra["business_connection_id"] = message.business_connection_id
    if message.dice:
        extra["dice"] = {"emoji": message.dice.emoji, "value": message.dice.value}
    if message.poll:
        extra["poll_id"] = message.poll.id
    return extra


def start_payload(message: t.Message) -> str | None:
    """Read the payload of a deep link (https://core.telegram.org/bots/features#deep-linking); None if there is none."""
    text = message.text or ""
    if not text.startswith("/start"):
        return None
    command, _, payload = text.partition(" ")
    plain = command == "/start" or command.startswith("/start@")
    return payload.strip() or None if plain else None


def conversation_kind(chat: t.Chat) -> Literal["direct", "group"]:
    """Tell a chat with one person from groups and channels."""
    return "direct" if chat.private else "group"
