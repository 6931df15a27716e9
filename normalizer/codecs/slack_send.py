"""From the model to calls of Slack's Web API (https://docs.slack.dev/apis/web-api)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from normalizer import build
from normalizer import parts as p
from normalizer.codecs import slack_blocks as blocks
from normalizer.codecs.slack_frame import SCHEME
from normalizer.codecs.slack_text import emoji_name, escape, link
from normalizer.errors import Unsendable
from normalizer.methods import DeleteParams, EditParams, Params, ReactParams
from normalizer.model import Address, MessageRef
from normalizer.parts import AnyPart
from normalizer.raw import Outbound, Wire
from normalizer.split import split
from normalizer.text import plain

TEXT_MAX = 4000
"""Characters; from 40,000 on Slack cuts (https://docs.slack.dev/reference/methods/chat.postMessage#truncating)."""
MARKDOWN_MAX = 12_000
SENDABLE = ("text", "image", "audio", "video", "file", "choice", "card", "carousel")
REQUESTS = ("message.edit", "message.delete", "reaction.send")
FORMATS = ("plain", "markdown")

POST, UPDATE, DELETE = "/chat.postMessage", "/chat.update", "/chat.delete"
COMPLETE = "/files.completeUploadExternal"
UPLOADED = "upload:"
"""Stands before the id of a file that was uploaded for this message and is still to be shared."""

SWITCHES = ("unfurl_links", "unfurl_media", "reply_broadcast", "link_names")
WORDS = ("username", "icon_emoji", "icon_url")
"""Options that may stand in `metadata.slack`; the words need the scope chat:write.customize."""
HOOKS = "hooks.slack.com"

_CHANNEL = re.compile(r"[CDGUW][A-Z0-9]{2,30}|#[\w.-]{1,80}", re.ASCII)
_TS = re.compile(r"\d{1,11}\.\d{6}", re.ASCII)
_FILE = re.compile(r"F[A-Z0-9]{2,30}", re.ASCII)

FILES = p.Image | p.Audio | p.Video | p.File

Call = tuple[str, dict[str, Any]]


def send(message: Outbound) -> Iterator[Wire]:
    """Render a message, in order; raises `Unsendable`."""
    own = message.metadata.get(SCHEME, {})
    calls = [call for part in message.parts for call in _calls(part, own)]
    if not calls:
        raise Unsendable("blank text", SENDABLE)
    if "response_url" in own:
        return iter([_respond(own["response_url"], own, calls)])
    return iter([_addressed(message, own, method, body) for method, body in calls])


def _addressed(message: Outbound, own: Mapping[str, str], method: str, body: dict[str, Any]) -> Wire:
    channel, root = target(message.to), thread(message)
    where = {"thread_ts": root} if root else {}
    if method == COMPLETE:
        return build.post(method, {"channel_id": channel, **where, **body})
    options: dict[str, Any] = {name: own[name] == "true" for name in SWITCHES if name in own}
    return build.post(method, {"channel": channel, **where, **body, **options, **_named(own)})


def _named(own: Mapping[str, str]) -> dict[str, str]:
    return {name: own[name] for name in WORDS if name in own}


def target(to: Address) -> str:
    """Read an address: a channel, a person (who gets a direct message), or ``#name``; raises `Unsendable`."""
    if to.scheme != SCHEME or not _CHANNEL.fullmatch(to.value):
        raise Unsendable("an address that is no Slack channel", ("slack:<channel or user id>", "slack:#<name>"))
    return to.value


def thread(message: Outbound) -> str | None:
    """Name the thread: the one asked for, or that of the message that is answered; raises `Unsendable`."""
    if message.thread is not None:
        return _ts(message.thread, "a thread that is no `ts`")
    native = message.reply_to.provider_id if message.reply_to else None
    return native if native is not None and _TS.fullmatch(native) else None  # a button press is no message


def _ts(native: str, need: str) -> str:
    if not _TS.fullmatch(native):
        raise Unsendable(need, ("a `ts` such as 1355517523.000005",))
    return native


def _respond(url: str, own: Mapping[str, str], calls: list[Call]) -> Wire:
    """Answer a command or an interaction at its own URL, which works where the bot is no member.

    https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
    """
    told = urlsplit(url)
    if told.scheme != "https" or told.hostname != HOOKS:
        raise Unsendable("a `response_url` that is not Slack's", (f"https://{HOOKS}/…",))
    if len(calls) != 1 or calls[0][0] != POST:
        raise Unsendable("more than one text to a `response_url`", ("one text, choice or card",))
    kind = "in_channel" if own.get("response_type") == "in_channel" else "ephemeral"
    switches = {name: True for name in ("replace_original", "delete_original") if own.get(name) == "true"}
    return build.post(url, {"response_type": kind, **switches, **calls[0][1]})


def _calls(part: AnyPart, own: Mapping[str, str]) -> Iterator[Call]:
    match part:
        case p.Text(body=body, format=form):
            yield from ((POST, said) for said in _texts(body, form, raw=own.get("mrkdwn") == "true"))
        case p.Choice():
            yield POST, {"text": escape(part.body), "blocks": blocks.choice(part)}
        case p.Card(items=items) | p.Carousel(items=items):
            yield POST, {"text": escape(plain([part])) or "…", "blocks": blocks.cards(items)}
        case p.Image() | p.Audio() | p.Video() | p.File():
            yield _media(part)
        case _:
            raise Unsendable(str(part.__struct_config__.tag), SENDABLE)


def _texts(body: str, form: str, *, raw: bool) -> Iterator[dict[str, Any]]:
    if form not in FORMATS:
        raise Unsendable(f"text of format {form}", FORMATS)
    markdown = form == "markdown"
    for piece in split(body, MARKDOWN_MAX if markdown else TEXT_MAX):
        if not piece.strip():
            continue
        if markdown:
            yield {"markdown_text": piece}
        elif raw:
            yield {"text": piece}
        else:
            yield {"text": escape(piece), "mrkdwn": False}


def _media(part: FILES) -> Call:
    media, tag = part.media, str(part.__struct_config__.tag)
    native, caption = media.provider_id or "", media.caption or ""
    if native.startswith(UPLOADED):
        title = {"title": media.name} if media.name else {}
        comment = {"initial_comment": escape(caption)} if caption.strip() else {}
        return COMPLETE, {"files": [{"id": native.removeprefix(UPLOADED), **title}], **comment}
    if isinstance(part, p.Image) and (native or media.url):
        shown: list[blocks.Block] = [blocks.plain(caption)] if caption.strip() else []
        return POST, {"text": escape(caption or plain([part])), "blocks": [*shown, blocks.image(media, "")]}
    if "://" in native:  # a file that is in Slack already is shown again by its link
        return POST, {"text": " ".join(filter(None, (escape(caption), link(native, media.name or tag))))}
    raise Unsendable(f"{tag} without `sha256`, `url` or Slack's URL in `provider_id`", SENDABLE)


def request(method: str, params: Params) -> Wire:
    """Render a request other than `message.send`; raises `Unsendable`."""
    match params:
        case EditParams():
            return _edit(method, params)
        case DeleteParams() if _FILE.fullmatch(params.message.provider_id or ""):
            return build.post("/files.delete", {"file": params.message.provider_id})
        case DeleteParams():
            return build.post(DELETE, {"channel": where(method, params.to), "ts": _which(method, params.message)})
        case ReactParams(emoji=emoji):
            return reaction("/reactions.add", method, params, emoji_name(emoji))
        case _:
            raise Unsendable(method, REQUESTS)


def reaction(call: str, method: str, params: ReactParams, name: str) -> Wire:
    """Render a call about a reaction; raises `Unsendable`."""
    about = {"channel": where(method, params.to), "timestamp": _which(method, params.message)}
    return build.post(call, {**about, "name": name})


def reactions_of(method: str, params: ReactParams) -> Wire:
    """Ask for all reactions to a message; raises `Unsendable`."""
    about = {"channel": where(method, params.to), "timestamp": _which(method, params.message), "full": "true"}
    return Wire(method="GET", url=f"/reactions.get?{urlencode(about)}")


def named_by(told: Mapping[str, Any], user: str | None) -> list[str]:
    """List the reactions of `user` in the answer of `reactions.get`."""
    message = told.get("message")
    found = message.get("reactions") if isinstance(message, dict) else None
    return [str(one.get("name")) for one in found or () if isinstance(one, dict) and user in (one.get("users") or ())]


def where(method: str, to: Address | str | None) -> str:
    """Read the channel of a request; raises `Unsendable`."""
    if to is None:
        raise Unsendable(f"{method} without `to`", (f"{method} with `to` or `conversation`",))
    return target(to if isinstance(to, Address) else Address(scheme=SCHEME, value=to))


def _which(method: str, message: MessageRef) -> str:
    return _ts(message.provider_id or "", f"{method} without Slack's `message.provider_id`")


def _edit(method: str, params: EditParams) -> Wire:
    parts = params.parts or ((p.Text(body=params.text),) if params.text else ())
    calls = [call for part in parts for call in _calls(part, {})]
    if len(calls) != 1 or calls[0][0] != POST:
        raise Unsendable("an edit that is not exactly one message", ("one text, choice or card",))
    body = {"channel": where(method, params.to), "ts": _which(method, params.message), **calls[0][1]}
    body.pop("mrkdwn", None)
    return build.post(UPDATE, body)
