"""`omnigate simulate slack`: events, interactions and commands as Slack posts them.

https://docs.slack.dev/apis/events-api, https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from connectors.slack_config import SlackConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, form_post, json_post
from gateway.simulate.slack_cloud import SlackCloud

TEAM, APP, BOT, CHANNEL = "T0SIMULATED", "A0SIMULATED", "U0BOT", "C0SIMULATED"
FIRST = 1_700_000_000
HOOK = "https://hooks.slack.com/actions/T0SIMULATED/1/simulated"


def _ts(item: Item, shift: int = 0) -> str:
    """Name a message: the same number makes the same `ts`, whenever it is sent."""
    return f"{FIRST + item.number // 1_000_000 % 900_000_000 + shift}.{item.number % 1_000_000:06d}"


def _user(item: Item) -> str:
    return f"U0SIM{item.person:05d}"


def _message(item: Item, **more: Any) -> dict[str, Any]:
    ts = _ts(item)
    said = {"type": "message", "user": _user(item), "text": item.text, "ts": ts, "event_ts": ts, "team": TEAM}
    return {**said, "client_msg_id": f"sim-{item.number}", "channel": CHANNEL, "channel_type": "channel", **more}


def _inner(item: Item) -> dict[str, Any]:
    return {"type": "message", "user": _user(item), "text": item.text, "ts": _ts(item)}


def _edit(item: Item) -> dict[str, Any]:
    at = _ts(item, 60)
    about = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": CHANNEL, "ts": at}
    edited = {"user": _user(item), "ts": at}
    return {
        **about,
        "event_ts": at,
        "channel_type": "channel",
        "message": {**_inner(item), "edited": edited},
        "previous_message": {**_inner(item), "text": f"{item.text} (before)"},
    }


def _delete(item: Item) -> dict[str, Any]:
    at = _ts(item, 60)
    about = {"type": "message", "subtype": "message_deleted", "hidden": True, "channel": CHANNEL, "ts": at}
    before = {"deleted_ts": _ts(item), "previous_message": _inner(item)}
    return {**about, "event_ts": at, "channel_type": "channel", **before}


def _file(item: Item) -> dict[str, Any]:
    name = f"photo-{item.number}.jpg"
    url = f"https://files.slack.com/files-pri/{TEAM}-F{item.number}/{name}"
    file = {"id": f"F{item.number}", "name": name, "mimetype": "image/jpeg", "size": 20_480, "url_private": url}
    return _message(item, subtype="file_share", files=[file])


def _reaction(item: Item) -> dict[str, Any]:
    about = {"type": "message", "channel": CHANNEL, "ts": _ts(item)}
    who = {"user": _user(item), "item_user": BOT, "reaction": "thumbsup"}
    return {"type": "reaction_added", **who, "item": about, "event_ts": _ts(item, 60)}


def _mention(item: Item) -> dict[str, Any]:
    said = _message(item, type="app_mention", text=f"<@{BOT}> {item.text}")
    del said["channel_type"]
    return said


def _joined(item: Item) -> dict[str, Any]:
    about = {"type": "member_joined_channel", "user": _user(item), "channel": CHANNEL, "channel_type": "C"}
    return {**about, "team": TEAM, "event_ts": _ts(item)}


_EVENTS: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": _message,
    "thread": lambda item: _message(item, thread_ts=f"{FIRST}.000001"),
    "direct": lambda item: _message(item, channel=f"D0SIM{item.person:05d}", channel_type="im"),
    "mention": _mention,
    "edit": _edit,
    "delete": _delete,
    "file": _file,
    "reaction": _reaction,
    "joined": _joined,
}


def _press(item: Item) -> dict[str, Any]:
    at = _ts(item)
    button = {"type": "button", "action_id": "button-0", "block_id": "b1", "action_ts": at, "value": "yes"}
    asked = {
        "type": "message",
        "user": BOT,
        "bot_id": "B0BOT",
        "ts": f"{FIRST}.000001",
        "text": item.text,
        "team": TEAM,
    }
    where = {"type": "message", "message_ts": f"{FIRST}.000001", "channel_id": CHANNEL, "is_ephemeral": False}
    return {
        "type": "block_actions",
        "container": where,
        "channel": {"id": CHANNEL, "name": "support"},
        "message": asked,
        "response_url": HOOK,
        "actions": [{**button, "text": {"type": "plain_text", "text": "Yes", "emoji": True}}],
    }


def _form(item: Item) -> dict[str, Any]:
    state = {"values": {"name": {"name": {"type": "plain_text_input", "value": item.text}}}}
    view = {
        "id": f"V{item.number}",
        "type": "modal",
        "callback_id": "order",
        "hash": f"{item.number}.x",
        "state": state,
    }
    return {"type": "view_submission", "view": view, "response_urls": []}


_INTERACTIONS: dict[str, Callable[[Item], dict[str, Any]]] = {"press": _press, "form": _form}


class SlackSimulator(Simulator[SlackConfig]):
    """One event, interaction or command per delivery; the signature covers a time and the body."""

    contents: ClassVar = (*_EVENTS, *_INTERACTIONS, "command")
    signs_time: ClassVar = True

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write it as JSON, as JSON in a form, or as a form."""
        (item,) = items
        if item.content in _EVENTS:
            return json_post(_envelope(item, _EVENTS[item.content](item)))
        who = {"id": _user(item), "username": f"person{item.person}", "team_id": TEAM}
        head = {
            "user": who,
            "team": {"id": TEAM, "domain": "sim"},
            "api_app_id": APP,
            "trigger_id": f"{item.number}.1.x",
        }
        if item.content in _INTERACTIONS:
            payload = {**_INTERACTIONS[item.content](item), **head}
            return form_post({"payload": msgspec.json.encode(payload).decode()})
        told = {"team_id": TEAM, "channel_id": CHANNEL, "user_id": _user(item), "user_name": f"person{item.person}"}
        asked = {"command": "/order", "text": item.text, "trigger_id": f"{item.number}.1.x", "response_url": HOOK}
        return form_post({**told, **asked, "api_app_id": APP})

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign time and body by the signing secret."""
        at = str(int(now))
        signed = f"v0:{at}:".encode() + request.body
        digest = hmac.digest(self.options.signing_secret.reveal().encode(), signed, "sha256").hex()
        return request.adding(headers={"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"})

    @override
    def again(self, request: Request, attempt: int) -> Request:
        """Say which try it is, and why."""
        return request.adding(headers={"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"})

    @override
    def handshake(self, now: float) -> Handshake:
        """Ask for the challenge, as when the Request URL is entered."""
        challenge = secrets.token_hex(16)
        asked = {"type": "url_verification", "token": "simulated", "challenge": challenge}
        return Handshake(request=self.sign(json_post(asked), now), body={"challenge": challenge})


def _envelope(item: Item, event: dict[str, Any]) -> dict[str, Any]:
    us = {"team_id": TEAM, "user_id": BOT, "is_bot": True, "is_enterprise_install": False}
    return {
        "token": "simulated",
        "team_id": TEAM,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": f"Ev{item.number}",
        "event_time": int(item.at),
        "authorizations": [us],
    }


SIMULATOR, CLOUD = SlackSimulator, SlackCloud
