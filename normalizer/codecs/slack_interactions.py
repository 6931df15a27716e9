"""What people press, choose, fill in and command in Slack.

https://docs.slack.dev/reference/interaction-payloads, https://docs.slack.dev/interactivity/implementing-slash-commands
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from normalizer import parts as p
from normalizer.codecs import slack_types as t
from normalizer.codecs.slack_frame import Frame, convert, moment, person
from normalizer.codecs.slack_message import quoted
from normalizer.errors import MalformedPayload
from normalizer.model import Party, Thread
from normalizer.parts import AnyPart
from normalizer.raw import Decoded, Event, Ignored, RawEvent

SELECTED = (
    "selected_option", "selected_user", "selected_conversation", "selected_channel", "selected_date", "selected_time",
    "selected_date_time", "value", "selected_options", "selected_users", "selected_conversations",
    "selected_channels", "files", "rich_text_value", "name",
)  # fmt: skip
"""Where an element says what was chosen (https://docs.slack.dev/reference/block-kit/block-elements)."""

RICH_DEPTH = 8


class View(t.Wired, frozen=True):
    """https://docs.slack.dev/reference/views."""

    id: t.Id
    callback_id: str = ""
    private_metadata: str | None = None
    hash: str = ""
    state: t.Blob | None = None


class ResponseUrl(t.Wired, frozen=True):
    """Where the answer to a form may be posted."""

    channel_id: t.Id | None = None
    response_url: str | None = None


class Container(t.Wired, frozen=True):
    """Where the element is."""

    message_ts: t.Ts | None = None
    thread_ts: t.Ts | None = None
    channel_id: t.Id | None = None
    is_ephemeral: bool = False


class Timed(t.Wired, frozen=True):
    """Of one element."""

    action_ts: t.Ts | None = None


class Interaction(t.Wired, frozen=True):
    """Any interaction payload."""

    type: str
    user: t.Named
    team: t.Named | None = None
    api_app_id: str | None = None
    channel: t.Named | None = None
    container: Container | None = None
    message: t.Message | None = None
    message_ts: t.Ts | None = None
    action_ts: t.Ts | None = None
    trigger_id: str | None = None
    response_url: str | None = None
    callback_id: str | None = None
    actions: tuple[t.Blob, ...] = ()
    view: View | None = None
    response_urls: tuple[ResponseUrl, ...] = ()
    submission: t.Blob | None = None

    @property
    def channel_id(self) -> str | None:
        """The channel, where there is one: a form and a home tab are in none."""
        return (self.channel.id if self.channel else None) or (self.container.channel_id if self.container else None)

    @property
    def asked(self) -> str | None:
        """The `ts` of the message with the element."""
        found = self.container.message_ts if self.container else None
        return found or (self.message.ts if self.message else None) or self.message_ts


def interaction(raw: RawEvent, fields: dict[str, Any]) -> Iterator[Decoded]:
    """Read an interaction, which may be several choices; raises `MalformedPayload`."""
    found = convert(fields, Interaction)
    team = (found.message.team if found.message else None) or (found.team.id if found.team else None) or ""
    frame = Frame(raw, team, found.api_app_id, extra={"interaction": found.type})
    if found.type in {"block_actions", "interactive_message"}:
        if not found.actions:
            raise MalformedPayload(f"{found.type} without `actions`")
        for index, action in enumerate(found.actions):
            yield _choice(frame, found, action, index)
    elif found.type in {"view_submission", "dialog_submission"}:
        yield _form(frame, found)
    elif found.type in {"block_suggestion", "dialog_suggestion"}:
        yield Ignored(reason=found.type)
    else:
        yield _other(frame, found)


def _sender(found: Interaction) -> Party:
    if not found.user.id:
        raise MalformedPayload("the interaction has no `user.id`")
    return person(found.user.id, name=found.user.name or found.user.username)


def _where(found: Interaction) -> str:
    return found.channel_id or found.user.id or ""


def _choice(frame: Frame, found: Interaction, action: dict[str, Any], index: int) -> Event:
    name = str(action.get("action_id") or found.callback_id or "")
    at = convert(action, Timed).action_ts or found.action_ts
    chosen = [*_chosen(action)] or [("", None)]
    thread = (found.container.thread_ts if found.container else None) or (
        found.message.thread_ts if found.message else None
    )
    return frame.told(
        f"action:{at or found.trigger_id}:{action.get('block_id', index)}:{name}",
        _sender(found),
        [p.ChoiceReply(item_id=item, title=title, of=found.asked) for item, title in chosen],
        _where(found),
        sent_at=moment(at),
        reply_to=quoted(frame, found.channel_id, found.asked),
        thread=Thread(root_provider_id=thread) if thread else None,
        metadata={"action_id": name or None, **_ways(found)},
    )


def _ways(found: Interaction) -> dict[str, Any]:
    """Name the ways to answer that are there for a while (a form within 3 s, a URL for half an hour)."""
    urls = (one.response_url for one in found.response_urls if one.response_url)
    return {"trigger_id": found.trigger_id, "response_url": found.response_url or next(urls, None)}


def _chosen(action: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Say what was chosen, and how it is called; a choice taken back is nothing."""
    name = next((name for name in SELECTED if action.get(name) is not None), None)
    value = action.get(name or "")
    if name == "rich_text_value":
        value = "".join(_leaves(value, RICH_DEPTH))
    for one in value if isinstance(value, list) else () if value is None else (value,):
        if isinstance(one, dict):
            yield str(one.get("value", one.get("id", ""))), _words(one.get("text"))
        else:
            yield str(one), _words(action.get("text"))


def _leaves(value: Any, depth: int) -> Iterator[str]:
    """Collect the words of rich text (https://docs.slack.dev/reference/block-kit/blocks/rich-text-block)."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        value = value.get("elements")
    for one in value if isinstance(value, list) and depth else ():
        yield from _leaves(one, depth - 1)


def _words(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("text")
    return value if isinstance(value, str) else None


def _form(frame: Frame, found: Interaction) -> Event:
    view = found.view
    if view is None:
        if found.submission is None:
            raise MalformedPayload(f"{found.type} without `view` or `submission`")
        form, data, native = found.callback_id or "", dict(_flat(found.submission)), found.action_ts or found.trigger_id
    else:
        form, data, native = view.callback_id or view.id, dict(_answers(view)), f"{view.id}:{view.hash}"
    channel = next((one.channel_id for one in found.response_urls if one.channel_id), None)
    return frame.told(
        f"form:{native}",
        _sender(found),
        [p.FormReply(form_id=form, data=data)],
        channel or _where(found),
        metadata={
            "view_id": view.id if view else None,
            "private_metadata": (view.private_metadata if view else None) or None,
            **_ways(found),
        },
    )


def _flat(submission: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in submission.items():
        if value is None or isinstance(value, str):
            yield name, value


def _answers(view: View) -> Iterator[tuple[str, Any]]:
    """Flatten the state of a view, block → element → what was chosen; of a name in two blocks it says which."""
    values = (view.state or {}).get("values")
    found = [
        (block, name, element)
        for block, elements in (values.items() if isinstance(values, dict) else ())
        for name, element in (elements.items() if isinstance(elements, dict) else ())
        if isinstance(element, dict)
    ]
    names = Counter(name for _, name, _ in found)
    for block, name, element in found:
        chosen = [item for item, _ in _chosen(element)]
        several = any(isinstance(element.get(key), list) for key in SELECTED)
        yield name if names[name] == 1 else f"{block}.{name}", chosen if several else next(iter(chosen), None)


def _other(frame: Frame, found: Interaction) -> Event:
    """Tell of a shortcut, a form that was closed, and what is to come."""
    known = found.type in {"message_action", "shortcut", "view_closed", "dialog_cancellation", "workflow_step_edit"}
    form = found.callback_id or (found.view.callback_id if found.view else None)
    args = {name: value for name, value in {"callback_id": form}.items() if value}
    part: AnyPart = p.System(event=found.type, args=args) if known else p.Unsupported(provider_type=found.type)
    native = found.action_ts or found.trigger_id or (f"{found.view.id}:{found.view.hash}" if found.view else "")
    return frame.told(
        f"{found.type}:{native}",
        _sender(found),
        [part],
        _where(found),
        sent_at=moment(found.action_ts),
        reply_to=quoted(frame, found.channel_id, found.asked),
        metadata=_ways(found),
    )


class Command(Struct, frozen=True):
    """The form of a slash command, as far as it is read."""

    command: str
    user_id: str
    trigger_id: str
    text: str = ""
    channel_id: str = ""
    user_name: str = ""
    team_id: str = ""
    api_app_id: str = ""
    response_url: str = ""


def command(raw: RawEvent, form: dict[str, str]) -> Event:
    """Read a slash command; raises `MalformedPayload`."""
    found = convert({name: value for name, value in form.items() if value}, Command)
    frame = Frame(raw, found.team_id, found.api_app_id or None)
    return frame.told(
        f"command:{found.trigger_id}",
        person(found.user_id, name=found.user_name or None),
        [p.Text(body=f"{found.command} {found.text}".strip())],
        found.channel_id or found.user_id,
        metadata={
            "command": found.command,
            "trigger_id": found.trigger_id,
            "response_url": found.response_url or None,
        },
    )
