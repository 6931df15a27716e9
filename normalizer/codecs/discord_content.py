"""What an interaction says: commands, presses, choices, forms and their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from normalizer import ids
from normalizer import parts as p
from normalizer.codecs import discord_types as t
from normalizer.parts import AnyPart

SUBCOMMANDS = frozenset({1, 2})
ATTACHMENT = 11
"""Type of an option (https://docs.discord.com/developers/interactions/application-commands#application-command-object-application-command-option-type)."""
FILE_UPLOAD = 19
"""Type of a component (https://docs.discord.com/developers/components/reference#file-upload)."""
DEPTH_MAX = 8
VOICE = "waveform"


def command(data: t.Data, channel_id: str) -> tuple[list[AnyPart], dict[str, Any]]:
    """Read a command as the text a person sees, and its options by name."""
    if data.type in {2, 3}:
        return [_target(data)], {"command": data.name}
    words, options = [f"/{data.name or ''}"], {}
    files: list[AnyPart] = []
    for option in _options(data.options, DEPTH_MAX):
        if option.type in SUBCOMMANDS:
            words.append(option.name)
            continue
        value = "" if option.value is None else option.value
        attachment = data.resolved.attachments.get(str(value)) if option.type == ATTACHMENT else None
        if attachment is not None:
            files.append(media(attachment, channel_id))
            value = attachment.filename or attachment.id
        shown = str(value).lower() if isinstance(value, bool) else _named(data.resolved, str(value))
        words.append(f"{option.name}:{shown}")
        options[option.name] = value
    told: dict[str, Any] = {"command": data.name, **({"options": options} if options else {})}
    return [p.Text(body=" ".join(words)), *files], told


def _options(options: Iterable[t.Option], depth: int) -> Iterator[t.Option]:
    for option in options if depth else ():
        yield option
        yield from _options(option.options, depth - 1)


def _target(data: t.Data) -> p.System:
    """Tell a command of the menu of a person or a message."""
    target = data.target_id or ""
    args: dict[str, Any] = {"command": data.name, "target_id": target}
    if data.type == 2:
        user = data.resolved.users.get(target)
        return p.System(event="user_command", args={**args, "target_name": user.username if user else None})
    message = data.resolved.messages.get(target)
    return p.System(event="message_command", args={**args, "text": message.content if message else None})


def _named(resolved: t.Resolved, value: str) -> str:
    """Write the name for an id of a person, a role or a channel."""
    user, role, channel = resolved.users.get(value), resolved.roles.get(value), resolved.channels.get(value)
    if user is not None:
        return f"@{user.global_name or user.username or value}"
    if role is not None:
        return f"@{role.name or value}"
    return f"#{channel.name or value}" if channel is not None else value


def choice(found: t.Interaction, data: t.Data) -> list[AnyPart]:
    """Read a press, or what was chosen in a menu."""
    asked = list(_asked(found.message.components if found.message else (), DEPTH_MAX))
    of = found.message.id if found.message else None
    if data.values is None:
        title = next((one.label for one in asked if one.custom_id == data.custom_id), None)
        return [p.ChoiceReply(item_id=data.custom_id or "", title=title, of=of)]
    labels = {option.value: option.label for one in asked if one.custom_id == data.custom_id for option in one.options}
    return [
        p.ChoiceReply(item_id=value, title=labels.get(value) or _title(data.resolved, value), of=of)
        for value in data.values
    ] or [p.ChoiceReply(item_id="", of=of)]


def _title(resolved: t.Resolved, value: str) -> str | None:
    named = _named(resolved, value)
    return named if named != value else None


def _asked(components: Iterable[t.Component], depth: int) -> Iterator[t.Component]:
    for one in components if depth else ():
        yield one
        yield from _asked((*one.components, *((one.component,) if one.component else ())), depth - 1)


def form(data: t.Data, channel_id: str) -> list[AnyPart]:
    """Read a modal that was sent off; files come beside it."""
    answers: dict[str, Any] = {}
    files: list[AnyPart] = []
    for one in _asked(data.components, DEPTH_MAX):
        if one.custom_id is None or (one.value is None and one.values is None):
            continue
        answers[one.custom_id] = list(one.values) if one.values is not None else one.value
        if one.type == FILE_UPLOAD:
            found = (data.resolved.attachments.get(value) for value in one.values or ())
            files += [media(attachment, channel_id) for attachment in found if attachment is not None]
    return [p.FormReply(form_id=data.custom_id or "", data=answers), *files]


def media(attachment: t.Attachment, channel_id: str) -> p.MediaPart:
    """Describe a file; its URL is signed and ends at the time in its `ex` parameter.

    https://docs.discord.com/developers/reference#signed-attachment-cdn-urls
    """
    seconds = attachment.duration_secs
    found = p.Media(
        id=ids.media_id(channel_id, attachment.id),
        mime=attachment.content_type,
        name=attachment.filename,
        size=attachment.size,
        width=attachment.width,
        height=attachment.height,
        duration_ms=round(seconds * 1000) if seconds is not None else None,
        caption=attachment.description or None,
        voice=attachment.waveform is not None,
        status="pending",
        provider_id=attachment.url,
        expires_at=_expiry(attachment.url),
    )
    main = (attachment.content_type or "").partition("/")[0]
    kinds: dict[str, type[p.Image | p.Audio | p.Video]] = {"image": p.Image, "audio": p.Audio, "video": p.Video}
    return kinds.get(main, p.File)(media=found)


def _expiry(url: str) -> datetime | None:
    try:
        told = dict(parse_qsl(urlsplit(url).query)).get("ex", "")
        return datetime.fromtimestamp(int(told, 16), UTC) if len(told) < 10 else None
    except ValueError:
        return None
