"""WeCom's events (`MsgType` ``event``): what a member did besides writing, and what happened in the corp.

https://developer.work.weixin.qq.com/document/path/90240
"""

from __future__ import annotations

from typing import Any

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import wechat_menu
from normalizer.codecs.wechat_content import ENVELOPE
from normalizer.codecs.wechat_xml import Fields, nested, text
from normalizer.codecs.wecom_frame import VERSION, Frame
from normalizer.model import ActivityParams
from normalizer.parts import AnyPart
from normalizer.raw import Event

CONTACTS = {
    "subscribe": "contact.opted_in",
    "unsubscribe": "contact.opted_out",
    "enter_agent": "conversation.started",
}
"""Events about the person and not about a message."""

ANSWERABLE = frozenset({
    "subscribe", "enter_agent", "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album",
    "pic_weixin", "location_select", "LOCATION", "template_card_event", "template_card_menu_event", "taskcard_click",
})  # fmt: skip
"""Events whose HTTP answer may carry a reply (https://developer.work.weixin.qq.com/document/path/90241)."""

SYSTEM = frozenset({
    "batch_job_result", "change_contact", "open_approval_change", "share_agent_change", "share_chain_change",
    "close_inactive_agent", "reopen_inactive_agent",
})  # fmt: skip
"""What happened in the corp; nobody waits for an answer."""


def event_of(frame: Frame) -> Event:
    """Read an event; one nobody knows becomes a message with an `unsupported` part."""
    name = frame.event
    if name in CONTACTS:
        return _contact(frame, CONTACTS[name])
    if name in SYSTEM:
        told = {key: value for key, value in _told(frame.fields).items() if isinstance(value, str)}
        return frame.received([p.System(event=name, args=told)], answerable=False, automatic=True)
    read = _READ.get(name)
    parts = [p.Unsupported(provider_type=f"event:{name}")] if read is None else read(frame.fields)
    return frame.received(parts, answerable=name in ANSWERABLE, automatic=name not in _CHOSEN)


def _contact(frame: Frame, method: str) -> Event:
    return build.event(
        frame.raw,
        method,
        ActivityParams,
        native_id=frame.native,
        scope=frame.user,
        normalizer=VERSION,
        conversation=frame.conversation,
        at=frame.sent_at or frame.raw.received_at,
        sender=frame.sender,
        metadata=frame.metadata,
    )


def _told(fields: Fields) -> dict[str, Any]:
    """Return what an event says besides its envelope; a group like ``BatchJob`` laid flat."""
    own = {name: value for name, value in fields.items() if name not in ENVELOPE and name != "AgentID"}
    inner = {key: value for group in own.values() if isinstance(group, dict) for key, value in group.items()}
    return {**inner, **own}


def _card(fields: Fields) -> list[AnyPart]:
    """Read what was chosen on a template card: a button, an option of a list, or several answers."""
    answers = {text(one, "QuestionKey"): _options(one) for one in _items(nested(fields, "SelectedItems"))}
    chosen = [option for options in answers.values() for option in options]
    task = text(fields, "TaskId")
    if not chosen:
        return wechat_menu.click(fields)
    if len(answers) == 1 and text(fields, "CardType") != "multiple_interaction":
        return [p.ChoiceReply(item_id=option, of=task or None) for option in chosen]
    return [p.FormReply(form_id=task or text(fields, "EventKey"), data=answers)]


def _items(group: Fields) -> list[Fields]:
    found = group.get("SelectedItem")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _options(item: Fields) -> list[str]:
    found = nested(item, "OptionIds").get("OptionId")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str) and one]


_READ = {
    "click": wechat_menu.click,
    "view": wechat_menu.view,
    "template_card_event": _card,
    "template_card_menu_event": wechat_menu.click,
    "taskcard_click": wechat_menu.click,
    **wechat_menu.READ,
}
_CHOSEN = frozenset(_READ) - wechat_menu.UNASKED
"""What a person did on purpose, for somebody to answer; the rest is `auto_generated`."""
