"""Slack's events that are no messages: reactions, memberships, threads with an assistant, and all the rest.

https://docs.slack.dev/reference/events
"""

from __future__ import annotations

from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import slack_types as t
from normalizer.codecs.slack_frame import SERVICE, VERSION, Frame, convert, moment, person, scalars
from normalizer.codecs.slack_message import message
from normalizer.codecs.slack_text import emoji
from normalizer.model import ReactionParams
from normalizer.raw import Event, Ignored

IGNORED = frozenset({
    "app_home_opened", "assistant_thread_context_changed", "file_created", "file_shared", "file_public", "file_change",
    "file_unshared", "file_deleted", "message_metadata_posted", "message_metadata_updated", "message_metadata_deleted",
    "user_change", "user_profile_changed", "user_status_changed", "user_huddle_changed", "dnd_updated",
    "dnd_updated_user", "emoji_changed", "star_added", "star_removed", "team_domain_change", "team_rename",
    "function_executed", "entity_details_requested",
})  # fmt: skip
"""What tells nothing of a conversation, or again what a message has told."""

KNOWN = frozenset({
    "app_requested", "app_uninstalled", "app_deleted", "app_installed", "call_rejected", "channel_archive",
    "channel_created", "channel_deleted", "channel_history_changed", "channel_id_changed", "channel_left",
    "channel_rename", "channel_shared", "channel_unarchive", "channel_unshared", "email_domain_changed",
    "grid_migration_finished", "grid_migration_started", "group_archive", "group_close", "group_deleted",
    "group_history_changed", "group_left", "group_open", "group_rename", "group_unarchive", "im_close",
    "im_history_changed", "im_open", "invite_requested", "link_shared", "member_joined_channel",
    "member_left_channel", "pin_added", "pin_removed", "scope_denied", "scope_granted",
    "shared_channel_invite_accepted", "shared_channel_invite_approved", "shared_channel_invite_declined",
    "shared_channel_invite_received",
    "shared_channel_invite_requested", "subteam_created", "subteam_members_changed", "subteam_self_added",
    "subteam_self_removed", "subteam_updated", "team_access_granted", "team_access_revoked", "team_join",
    "tokens_revoked", "workflow_deleted", "workflow_published", "workflow_step_deleted", "workflow_unpublished",
})  # fmt: skip
"""Events handed on as a `system` part; one we never heard of becomes `unsupported`."""


def event_of(frame: Frame, fields: dict[str, Any], event_id: str | None) -> Event | Ignored:
    """Read the `event` of a delivery; raises `MalformedPayload`.

    Args:
        frame: of the delivery.
        fields: the event.
        event_id: of the delivery, where the event itself has nothing that names it.
    """
    head = convert(fields, t.Head)
    if head.type in {"message", "app_mention"}:
        return message(frame, convert(fields, t.MessageEvent), fields)
    if head.type in {"reaction_added", "reaction_removed"}:
        return _reaction(frame, head.type, convert(fields, t.ReactionEvent))
    if head.type in {"member_joined_channel", "member_left_channel"}:
        return _member(frame, head.type, convert(fields, t.MemberEvent), fields)
    if head.type == "im_created":
        im = convert(fields, t.ImEvent)
        native = f"im_created:{im.user}"
        return frame.activity("conversation.started", native, person(im.user), im.channel.id or im.user, at=im.event_ts)
    if head.type == "assistant_thread_started":
        return _thread(frame, convert(fields, t.ThreadEvent))
    if head.type in IGNORED:
        return Ignored(reason=head.type)
    return _other(frame, head, fields, event_id)


def _reaction(frame: Frame, kind: str, found: t.ReactionEvent) -> Event | Ignored:
    if found.item.channel is None or found.item.ts is None:
        return Ignored(reason="reaction_to_no_message")
    method = kind.replace("_", ".")
    if found.user is not None and found.user == frame.bot:
        return Ignored(reason="own_echo")
    return build.event(
        frame.raw,
        method,
        ReactionParams,
        native_id=f"{found.item.ts}:{found.user}:{found.reaction}",
        scope=frame.scope(found.item.channel),
        revision=f"{method} {found.event_ts}",
        normalizer=VERSION,
        conversation=frame.conversation(found.item.channel),
        message=frame.reference(found.item.channel, found.item.ts),
        sender=person(found.user) if found.user else SERVICE,
        emoji=emoji(found.reaction),
        at=moment(found.event_ts),
        metadata=frame.metadata(reaction=found.reaction),
    )


def _member(frame: Frame, kind: str, found: t.MemberEvent, fields: dict[str, Any]) -> Event:
    native = f"{kind}:{found.user}:{found.event_ts or ''}"
    if found.user == frame.bot:
        method = "conversation.started" if kind == "member_joined_channel" else "conversation.ended"
        by = person(found.inviter) if found.inviter else SERVICE
        return frame.activity(method, native, by, found.channel, at=found.event_ts)
    part = p.System(event=kind, args=scalars(fields, "type", "event_ts"))
    return frame.told(native, person(found.user), [part], found.channel, sent_at=moment(found.event_ts))


def _thread(frame: Frame, found: t.ThreadEvent) -> Event:
    thread = found.assistant_thread
    return frame.activity(
        "conversation.started",
        f"assistant_thread:{thread.thread_ts}",
        person(thread.user_id),
        thread.channel_id,
        at=found.event_ts,
        thread_ts=thread.thread_ts,
    )


def _other(frame: Frame, head: t.Head, fields: dict[str, Any], event_id: str | None) -> Event:
    """Hand on an event that has no method of its own."""
    channel, user = (_id(fields.get(name)) for name in ("channel", "user"))
    channel = channel or _id(fields.get("channel_id"))
    args = scalars(fields, "type", "event_ts")
    part = p.System(event=head.type, args=args) if head.type in KNOWN else p.Unsupported(provider_type=head.type)
    native = f"{head.type}:{head.event_ts or event_id or ''}:{channel or user or ''}"
    return frame.told(native, person(user) if user else SERVICE, [part], channel, sent_at=moment(head.event_ts))


def _id(value: Any) -> str | None:
    """Read an id that comes bare or in an object."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None
