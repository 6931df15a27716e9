"""From Slack's messages to `message.received`, `message.updated` and `message.deleted`.

https://docs.slack.dev/reference/events/message#subtypes
"""

from __future__ import annotations

from typing import Any

from normalizer import build, ids
from normalizer import parts as p
from normalizer.codecs import slack_types as t
from normalizer.codecs.slack_frame import SERVICE, VERSION, Frame, moment, number, person, scalars
from normalizer.codecs.slack_text import decode
from normalizer.errors import MalformedPayload
from normalizer.model import DeletedParams, Flags, MessageRef, Party, Thread
from normalizer.parts import AnyPart
from normalizer.raw import Event, Ignored

SERVICE_SUBTYPES = frozenset({
    "channel_join", "channel_leave", "channel_topic", "channel_purpose", "channel_name", "channel_archive",
    "channel_unarchive", "channel_posting_permissions", "channel_convert_to_private", "channel_canvas_updated",
    "group_join", "group_leave", "group_topic", "group_purpose", "group_name", "group_archive", "group_unarchive",
    "bot_add", "bot_remove", "bot_enable", "bot_disable", "pinned_item", "unpinned_item", "reminder_add",
    "ekm_access_denied", "joiner_notification", "huddle_thread", "sh_room_created", "assistant_app_thread",
    "document_mention", "file_comment",
})  # fmt: skip
"""Subtypes in which Slack tells something and nobody speaks."""

SILENT = {"message_replied": "thread_replied", "reply_broadcast": "thread_replied"}
"""Subtypes that repeat what another event tells, with the reason for dropping them."""

GONE = {"tombstone": "expired", "hidden_by_limit": "expired"}
"""Modes of files that cannot be had."""


def message(frame: Frame, event: t.MessageEvent, fields: dict[str, Any]) -> Event | Ignored:
    """Read a `message` or `app_mention` event; `fields` is the same, untyped."""
    if not event.channel:
        raise MalformedPayload("the message has no `channel`")
    if event.subtype in SILENT:
        return Ignored(reason=SILENT[event.subtype])
    if event.subtype == "message_changed":
        return _changed(frame, event)
    if event.subtype == "message_deleted":
        return _deleted(frame, event, event.deleted_ts or _ts(event.previous_message), event.previous_message)
    if _own(frame, event):
        return Ignored(reason="own_echo")
    return _message(frame, event, event, event.edited.ts if event.edited else None, fields)


def _own(frame: Frame, found: t.Message | None) -> bool:
    if found is None:
        return False
    if frame.app is not None and found.app == frame.app:
        return True
    # a file that we shared names our user only; that our user joined is news
    return frame.bot is not None and found.user == frame.bot and found.subtype not in SERVICE_SUBTYPES


def _ts(found: t.Message | None) -> str:
    if found is None or found.ts is None:
        raise MalformedPayload("the message has no `ts`")
    return found.ts


def _changed(frame: Frame, event: t.MessageEvent) -> Event | Ignored:
    after, before = event.message, event.previous_message
    if after is None:
        raise MalformedPayload("message_changed without `message`")
    if _own(frame, after) or _own(frame, before):
        return Ignored(reason="own_echo")
    if after.subtype == "tombstone":  # the first message of a thread was deleted, and its answers stay
        return _deleted(frame, event, _ts(after), before)
    if after.subtype in SERVICE_SUBTYPES:
        return Ignored(reason="service_message_changed")
    edit = after.edited.ts if after.edited is not None else None
    if before is not None and edit == (before.edited.ts if before.edited else None) and _same(before, after):
        return Ignored(reason="not_edited")  # Slack unfolded a link, or counted the answers of a thread
    return _message(frame, event, after, edit or event.event_ts or _ts(event), {})


def _same(before: t.Message, after: t.Message) -> bool:
    return (before.text, before.files) == (after.text, after.files)


def _deleted(frame: Frame, event: t.MessageEvent, ts: str, before: t.Message | None) -> Event | Ignored:
    if _own(frame, before):
        return Ignored(reason="own_echo")
    scope = frame.scope(event.channel)
    return build.event(
        frame.raw,
        "message.deleted",
        DeletedParams,
        native_id=ts,
        scope=scope,
        revision="deleted",
        after=build.original(frame.raw, ts, scope),
        normalizer=VERSION,
        conversation=frame.conversation(event.channel, event.channel_type),
        message=frame.reference(event.channel, ts),
        at=moment(event.event_ts or event.ts) or frame.raw.received_at,
        metadata=frame.metadata(),
    )


def _message(frame: Frame, event: t.MessageEvent, found: t.Message, edit: str | None, fields: dict[str, Any]) -> Event:
    ts, scope = _ts(found), frame.scope(event.channel)
    sender = _sender(found)
    threaded = found.thread_ts is not None and found.thread_ts != ts
    message = build.message(
        frame.raw,
        native_id=ts,
        scope=scope,
        sender=sender,
        parts=_content(frame, found, fields),
        revision=number(edit) if edit else 0,
        sent_at=moment(ts),
        to=frame.us,
        thread=Thread(root_provider_id=found.thread_ts) if threaded and found.thread_ts else None,
        flags=Flags(forwarded=True) if any(one.is_share for one in found.attachments or ()) else None,
    )
    text = found.text or ""
    mrkdwn = text if decode(text) != text else None
    return build.received(
        frame.raw,
        message,
        frame.conversation(event.channel, event.channel_type),
        scope=scope,
        revision=edit or "",
        updated=edit is not None,
        normalizer=VERSION,
        metadata=frame.metadata(subtype=found.subtype, mrkdwn=mrkdwn, team=_foreign(frame, found)),
    )


def _foreign(frame: Frame, found: t.Message) -> str | None:
    """Name the workspace of a person from elsewhere (Slack Connect)."""
    return found.team if found.team and found.team != frame.team else None


def _sender(found: t.Message) -> Party:
    if found.user is not None:
        bot = found.bot_id is not None
        name = found.bot_profile.name if bot and found.bot_profile else None
        return person(found.user, name=found.username or name, role="bot" if bot else "customer")
    if found.bot_id is not None:
        return person(found.bot_id, name=found.username, role="bot")
    return SERVICE


def _content(frame: Frame, found: t.Message, fields: dict[str, Any]) -> list[AnyPart]:
    if found.subtype in SERVICE_SUBTYPES:
        told = scalars(fields, "type", "subtype", "ts", "event_ts", "channel", "channel_type", "thread_ts")
        return [p.System(event=found.subtype or "", args=told)]
    parts: list[AnyPart] = [p.Text(body=decode(found.text))] if found.text else []
    parts += [file_part(frame, file) for file in found.files or ()]
    # a bot may say everything in attachments, and a message that is passed on stands there
    for one in found.attachments or ():
        words = one.text or one.fallback
        if words and (one.is_share or not found.text):
            parts.append(p.Text(body=decode(words)))
    return parts or [p.Unsupported(provider_type=found.subtype or "empty")]


def file_part(frame: Frame, file: t.File) -> AnyPart:
    """Describe a file; what lies outside of Slack is a link, for it is not Slack's to give."""
    if file.is_external and file.url_private:
        return p.Text(body=" ".join(filter(None, (file.title or file.name, file.url_private))))
    mime = file.mimetype
    gone = GONE.get(file.mode or "") or ("failed" if file.file_access in {"file_not_found", "access_denied"} else None)
    media = p.Media(
        id=ids.media_id(frame.raw.channel.id, file.id),
        mime=mime,
        name=file.name or file.title,
        size=file.size,
        width=file.original_w,
        height=file.original_h,
        duration_ms=file.duration_ms,
        voice=file.subtype == "slack_audio",
        status="pending" if gone is None else ("expired" if gone == "expired" else "failed"),
        provider_id=file.url_private or file.url_private_download or file.id,
    )
    main = (mime or "").partition("/")[0]
    kinds: dict[str, type[p.Image | p.Audio | p.Video | p.File]] = {
        "image": p.Image, "audio": p.Audio, "video": p.Audio if media.voice else p.Video,
    }  # fmt: skip
    return kinds.get(main, p.File)(media=media)


def quoted(frame: Frame, channel: str | None, ts: str | None) -> MessageRef | None:
    """Refer to a message that an interaction belongs to."""
    return frame.reference(channel, ts) if channel and ts else None
