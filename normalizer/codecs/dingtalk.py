"""DingTalk robot wire format (https://open.dingtalk.com/document/orgapp/receive-message).

What is peculiar: one message per request; each brings an address to which answers can be posted for a while, without a
token (`sessionWebhook`); people of the organisation have a user id, which can be written to at any time, others do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from normalizer import build, ids
from normalizer.codecs import dingtalk_send as outgoing
from normalizer.codecs.dingtalk_content import content_of, parts_of
from normalizer.codecs.dingtalk_send import SCHEME
from normalizer.codecs.dingtalk_types import Callback, Mentioned, moment
from normalizer.errors import MalformedPayload
from normalizer.methods import Params
from normalizer.model import Address, MessageRef, Party, ReplyWindow
from normalizer.raw import Decoded, Outbound, RawEvent, Wire

SENDER = "dingtalk-sender"
"""Scheme of the id DingTalk gives everybody, people of other organisations too; nothing can be sent to it."""


class Told(Struct, frozen=True, kw_only=True):
    """What the connector wants to know of a delivery.

    Attributes:
        address: whom an answer goes to.
        words: what was said, to be compared with what we offered.
        session: the address answers may be posted to.
        until: when that ends, in seconds since the epoch.
    """

    address: str
    words: str
    session: str
    until: float


class DingTalkCodec:
    """See `Codec`.

    Attributes:
        version: goes into `raw.normalizer`.
    """

    version: Final = "dingtalk/1"

    def __init__(self, robot_code: str) -> None:
        """Send as the robot of this code."""
        self._robot = robot_code

    def decode(self, raw: RawEvent) -> Iterable[Decoded]:
        """Read one message."""
        told = build.parse(raw.body, Callback)
        for name, value in (("msgId", told.msg_id), ("conversationId", told.conversation_id)):
            if not value:
                raise MalformedPayload(f"{name} is empty")
        conversation = build.conversation(raw, told.address, "group" if told.group else "direct")
        message = build.message(
            raw,
            native_id=told.msg_id,
            sender=_sender(told),
            parts=parts_of(raw, told),
            to=_us(raw, told),
            sent_at=moment(told.create_at),
            reply_to=_quoted(raw, told),
            reply_window=_window(told),
        )
        yield build.received(raw, message, conversation, normalizer=self.version, metadata={SCHEME: _extras(told)})

    def told(self, raw: RawEvent) -> Told | None:
        """Look at a delivery; None if nobody can read it."""
        try:
            told = build.parse(raw.body, Callback)
        except MalformedPayload:
            return None
        until = moment(told.session_webhook_expired_time)
        words = told.text.content.strip() if told.text is not None else ""
        session = told.session_webhook or ""
        return Told(
            address=told.address, words=words, session=session, until=until.timestamp() if until and session else 0.0
        )

    def encode(self, message: Outbound) -> Iterable[Wire]:
        """Render a message as calls of the API; raises `Unsendable`."""
        return outgoing.send(message, self._robot)

    def request(self, method: str, params: Params) -> Wire:
        """Render any other request; raises `Unsendable`."""
        return outgoing.request(method, params, self._robot)


def _sender(told: Callback) -> Party:
    """Describe the person, by the user id where there is one: it can be written to."""
    also = Address(scheme=SENDER, value=told.sender_id)
    if told.sender_staff_id:
        return build.party(SCHEME, told.sender_staff_id, name=told.sender_nick, also=(also,))
    return build.party(SENDER, told.sender_id, name=told.sender_nick)


def _us(raw: RawEvent, told: Callback) -> tuple[Party, ...]:
    if not told.chatbot_user_id:
        return ()
    return (build.party(SENDER, told.chatbot_user_id, name=raw.channel.account, role="bot"),)


def _quoted(raw: RawEvent, told: Callback) -> MessageRef | None:
    replied = told.text.replied_msg if told.text is not None else None
    native = told.original_msg_id or (replied.msg_id if replied is not None else None)
    return None if not native else MessageRef(id=ids.message_id(raw.channel.id, "", native), provider_id=native)


def _window(told: Callback) -> ReplyWindow | None:
    """Say how long people without a user id can be answered; all others at any time."""
    if told.group or told.sender_staff_id:
        return None
    return ReplyWindow(until=moment(told.session_webhook_expired_time))


def _mentioned(one: Mentioned) -> dict[str, str]:
    return {name: value for name, value in msgspec.to_builtins(one).items() if value is not None}


def _extras(told: Callback) -> dict[str, Any]:
    """Collect what only DingTalk has, under its own names; never the session webhook, which is a credential."""
    found: dict[str, Any] = {
        "msgtype": told.msgtype,
        "conversationId": told.conversation_id,
        "conversationTitle": told.conversation_title,
        "senderCorpId": told.sender_corp_id,
        "chatbotCorpId": told.chatbot_corp_id,
        "isAdmin": told.is_admin,
        "isInAtList": told.is_in_at_list,
        "atUsers": [_mentioned(one) for one in told.at_users] or None,
    }
    if told.msgtype in {"file", "video"}:
        content = content_of(told)
        found |= {"fileId": content.file_id, "spaceId": content.space_id}
        found |= {"duration": content.duration} if told.msgtype == "video" else {}
    return {name: value for name, value in found.items() if value is not None}
