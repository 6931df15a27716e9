"""From a message to the mail that carries it: whom it goes to, what it answers, what it is made of.

``metadata.email`` of `message.send`, all of it text:

``cc``, ``bcc``
    more recipients, separated by commas.
``reply_all``
    ``true`` sends a copy to everybody the answered mail went to.
``from_name``
    the name to show for `from`, such as the agent's.
``auto``
    ``true`` for what no human wrote (RFC 3834); see `connectors.email.backstop`.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from connectors.api import Context
from connectors.email.backstop import is_automatic
from connectors.email.outgoing_config import OutgoingConfig
from connectors.email.routing import Pattern, Routes
from connectors.email.threads import Thread
from connectors.errors import Refused
from connectors.staging import Staging
from normalizer import ids, parts
from normalizer.errors import Unsendable
from normalizer.mail import compose_body, compose_fields
from normalizer.mail.address import Mailbox, addresses
from normalizer.mail.compose import Draft, File, reply_subject
from normalizer.mail.threading import Reader, conversation_for
from normalizer.mail.tokens import Tokens
from normalizer.model import Address
from normalizer.parts import MediaPart
from normalizer.raw import Outbound

SCHEME = "mailto"
PARTS = (parts.Text, parts.Image, parts.Audio, parts.Video, parts.File)
"""What a mail can carry."""
TAGS = tuple(str(one.__struct_config__.tag) for one in PARTS)
_CID = re.compile(r"[\x21\x23-\x26\x28-\x3b\x3d\x3f-\x7e]{1,200}")


class Letter(Struct, frozen=True, kw_only=True):
    """A mail, and who gets it.

    Attributes:
        conversation: ``cnv_…``, which its tokens name.
        to, cc, bcc: recipients, nobody twice.
        answers: Message-ID of the mail it answers, without brackets.
    """

    conversation: str
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    answers: str | None
    draft: Draft

    @property
    def recipients(self) -> tuple[str, ...]:
        """Of the envelope."""
        return tuple(box.address for box in (*self.to, *self.cc, *self.bcc))


def addressed(message: Outbound) -> Outbound:
    """Reduce the recipient to the address alone, and ids to what is between their brackets.

    Raises:
        Refused: it is no address.
    """
    boxes = _boxes(message.to.value, "to")
    if len(boxes) != 1:
        raise Refused("`to` must be one mail address; give more of them in `metadata.email.cc`")
    address, conversation, answered = boxes[0].address, message.conversation, message.reply_to
    if answered is not None and answered.provider_id is not None:
        answered = replace(answered, provider_id=answered.provider_id.strip("<> "))
    if conversation == ids.conversation_id(message.channel.id, message.to.value):
        conversation = ids.conversation_id(message.channel.id, address)
    return replace(
        message,
        to=Address(scheme=SCHEME, value=address),
        conversation=conversation,
        reply_to=answered,
        thread=message.thread.strip("<> ") if message.thread else None,
    )


class Drafter:
    """Writes the mails of one channel."""

    def __init__(
        self, config: OutgoingConfig, context: Context, tokens: Tokens, own: Iterable[str], timeout: float
    ) -> None:
        """Write as `config` says, never to one of our `own` addresses; `timeout` in seconds is for one attachment."""
        self._config, self._context, self._tokens = config, context, tokens
        self._channel = context.channel.id
        self._own: Routes[str] = Routes()
        mine = [*own, config.author.address, *([config.answers.address] if config.answers else [])]
        self._own.add(list(dict.fromkeys(Pattern.parse(one) for one in mine)), self._channel)
        self._staging = Staging(context, hosts=(), timeout=timeout, max_bytes=config.max_bytes)

    def conversation(self, message: Outbound) -> str:
        """Say which conversation a message belongs to."""
        return conversation_for(Reader(self._tokens, self._channel), message)

    async def letter(self, message: Outbound, name: str, thread: Thread, now: float) -> Letter:
        """Write a mail.

        Args:
            message: from `addressed`.
            name: what a person is called in `to`, or empty.
            thread: of its conversation.
            now: seconds since the epoch.

        Raises:
            Refused: an address is none, or there are too many.
            Unsendable: a part is nothing a mail can carry.
            MediaUnavailable: an attachment stands for nothing.
            SendError: an attachment cannot be fetched.
        """
        for part in message.parts:
            if not isinstance(part, PARTS):
                raise Unsendable(str(part.__struct_config__.tag), TAGS)
        conversation, message_id = self.conversation(message), self._message_id(message)
        before = [one for one in _before(message, thread) if one != message_id]
        to = (Mailbox(name, message.to.value),)
        cc, bcc = self._copies(message, thread, to)
        text = compose_body.body_of(message.parts, marker=self._marker(conversation, message))
        draft = Draft(
            message_id=message_id,
            date=datetime.fromtimestamp(int(now), UTC),
            sender=self._sender(message),
            to=to,
            cc=cc,
            reply_to=self._reply_to(conversation, message),
            subject=self._subject(message, thread, answering=bool(before)),
            in_reply_to=before[-1] if before else None,
            references=tuple(before),
            loop_mark=self._tokens.marker(self._channel, conversation, to=message.to.value),
            automatic=("auto-replied" if before else "auto-generated") if is_automatic(message) else None,
            text=text.text,
            html=text.html,
            files=await self._files(message, compose_body.cids(text.html)),
        )
        return Letter(conversation=conversation, to=to, cc=cc, bcc=bcc, answers=draft.in_reply_to, draft=draft)

    def return_path(self, message: Outbound) -> str:
        """Return the sender of the envelope."""
        address = self._config.return_path
        return self._tokens.return_path(address, self._channel, message.id) if self._config.tag_bounces else address

    def _message_id(self, message: Outbound) -> str:
        domain = self._config.message_id_domain or self._config.author.address.rpartition("@")[2]
        conversation = self.conversation(message)
        made = self._tokens.message_id(self._channel, conversation, message.id, domain, to=message.to.value)
        return made.strip("<>")

    def _sender(self, message: Outbound) -> Mailbox:
        author = self._config.author
        return Mailbox(_option(message, "from_name") or author.name, author.address)

    def _reply_to(self, conversation: str, message: Outbound) -> Mailbox | None:
        box = self._config.answers
        if not self._config.tag_reply_to:
            return box
        box = box or self._config.author
        to = message.to.value
        return Mailbox(box.name, self._tokens.reply_address(box.address, self._channel, conversation, to=to))

    def _marker(self, conversation: str, message: Outbound) -> str | None:
        if not self._config.marker:
            return None
        return self._tokens.marker(self._channel, conversation, to=message.to.value)

    def _subject(self, message: Outbound, thread: Thread, *, answering: bool) -> str:
        if message.subject is not None:
            return message.subject
        if answering and thread.subject:
            return reply_subject(thread.subject)
        return self._config.subject

    def _copies(
        self, message: Outbound, thread: Thread, to: tuple[Mailbox, ...]
    ) -> tuple[tuple[Mailbox, ...], tuple[Mailbox, ...]]:
        seen = {box.key for box in to}
        cc = _boxes(_option(message, "cc"), "cc")
        if _option(message, "reply_all").lower() == "true":
            everybody = _boxes(", ".join(thread.others), "cc", lenient=True)
            cc += [box for box in everybody if self._own.find(box.address) is None]
        copies = _new(cc, seen)
        blind = _new(_boxes(_option(message, "bcc"), "bcc"), seen)
        if len(seen) > self._config.max_recipients:
            raise Refused(
                f"the mail has {len(seen)} recipients; `outgoing.max_recipients` allows {self._config.max_recipients}"
            )
        return copies, blind

    async def _files(self, message: Outbound, shown: frozenset[str]) -> tuple[File, ...]:
        files: list[File] = []
        left = self._config.max_bytes
        for part in message.parts:
            if isinstance(part, MediaPart):
                files.append(await self._file(part, shown, left, number=len(files) + 1))
                left -= len(files[-1].data)
        return tuple(files)

    async def _file(self, part: MediaPart, shown: frozenset[str], left: int, *, number: int) -> File:
        media = part.media
        fetched = await self._staging.bytes_of(media, max_bytes=max(left, 1))
        mime = media.mime or fetched.mime or "application/octet-stream"
        ending = mimetypes.guess_extension(mime) or ""
        tag = str(part.__struct_config__.tag)
        cid = next((one for one in (media.id, media.name) if one in shown and _CID.fullmatch(one)), None)
        return File(data=fetched.data, mime=mime, name=media.name or fetched.name or f"{tag}-{number}{ending}", cid=cid)


def _option(message: Outbound, name: str) -> str:
    return message.metadata.get("email", {}).get(name, "").strip()


def _boxes(text: str, name: str, *, lenient: bool = False) -> list[Mailbox]:
    """Read a list of addresses; one that is none is refused, or left out where it came from elsewhere."""
    found: list[Mailbox] = []
    if not lenient and any(char < " " for char in text):
        raise Refused(f"`{name}` is no mail address: it has control characters")
    for box in addresses(text):
        try:
            found.append(Mailbox(box.name, compose_fields.address(box.address)))
        except ValueError as exc:
            if not lenient:
                raise Refused(f"`{name}`: {exc}") from None
    if text and not found and not lenient:
        raise Refused(f"`{name}` is no mail address")
    return found


def _new(boxes: Iterable[Mailbox], seen: set[str]) -> tuple[Mailbox, ...]:
    fresh: list[Mailbox] = []
    for box in boxes:
        if box.key not in seen:
            seen.add(box.key)
            fresh.append(box)
    return tuple(fresh)


def _before(message: Outbound, thread: Thread) -> list[str]:
    """List the mails before this one; the last is the one it answers: what the caller says, else the newest."""
    answered = message.reply_to.provider_id if message.reply_to is not None else None
    if answered is None:
        return list(thread.ids) or ([message.thread] if message.thread else [])
    if answered in thread.ids:
        return list(thread.ids[: thread.ids.index(answered) + 1])
    root = [message.thread] if message.thread else []
    return [*dict.fromkeys((*(thread.ids or root), answered))]
