"""Which kinds can be simulated, and where; nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gateway.simulate.api import Simulator
from gateway.simulate.cloud import Cloud

WORDS = {
    "telegram": "Telegram bots: updates, one by one.",
    "webhook": "A declarative channel: any JSON or form, signed as the channel's `verify` says.",
    "whatsapp": "WhatsApp Cloud API: batches of messages and statuses.",
    "messenger": "Facebook Messenger: batches of messaging events.",
    "instagram": "Instagram messaging: batches of messaging events.",
    "wechat": "WeChat Official Account: XML, plain or encrypted.",
    "wecom": "WeCom app: encrypted XML.",
    "wecom-kf": "WeCom customer service: a poke, and messages to be pulled.",
    "line": "LINE Messaging API: batches of events.",
    "slack": "Slack Events API and interactions.",
    "viber": "Viber bots: callbacks, one by one.",
    "twilio": "Twilio SMS, MMS and WhatsApp: signed forms.",
    "discord": "Discord interactions, signed with Ed25519.",
    "dingtalk": "DingTalk robots: callbacks, one by one.",
    "feishu": "Feishu and Lark: events, plain or encrypted.",
}
"""Kind → what its simulator does, for people who choose."""


def module_of(kind: str) -> str:
    """Name the module of a kind's simulator, whether it exists or not."""
    return f"gateway.simulate.{kind.replace('-', '_')}"


def kinds() -> list[str]:
    """List the kinds with a simulator, without importing any."""
    return [kind for kind in WORDS if find_spec(module_of(kind)) is not None]


def simulator_of(kind: str) -> type[Simulator[Any]]:
    """Import the simulator of a kind; raises `ImportError` and `AttributeError`."""
    found: type[Simulator[Any]] = import_module(module_of(kind)).SIMULATOR
    return found


def cloud_of(kind: str) -> type[Cloud] | None:
    """Import the cloud side of a kind, if it has one; raises `ImportError`."""
    found: type[Cloud] | None = getattr(import_module(module_of(kind)), "CLOUD", None)
    return found


def cloud(kind: str, *args: Any, **kwargs: Any) -> Cloud:
    """Make the cloud side of a kind, to be started with ``async with``; raises `LookupError` where there is none."""
    found = cloud_of(kind)
    if found is None:
        raise LookupError(f"{kind} has no cloud side")
    return found(*args, **kwargs)
