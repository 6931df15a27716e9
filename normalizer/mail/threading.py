"""Which conversation a mail belongs to.

1. A token of ours (`normalizer.mail.tokens`) decides: in In-Reply-To, in References from the newest to the oldest, in
   the address the mail came to, in the text it quotes. Whoever has it got a mail of this conversation, directly or
   passed on. So a colleague's answer joins, and is flagged `third_party` unless the sender is whom our mail went to, or
   whose own conversation it is.
2. Without one, the conversation is the sender's address *together with* the thread's root: the first id of References,
   else In-Reply-To, else what the connector remembers of its Thread-Index, else the conversation of that, else the mail
   itself. These can be forged and guessed, and so lead nowhere but to conversations of that sender.

The subject never counts. A forged or damaged token is no token. Nothing is looked up here, so that a replay years later
comes to the same result, as long as the signing key is the same.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from normalizer import ids
from normalizer.mail.headers import Fields
from normalizer.mail.identity import message_ids
from normalizer.mail.mime import Entity
from normalizer.mail.report import leaves
from normalizer.mail.tokens import Token, Tokens
from normalizer.raw import Outbound

SCHEME = "mailto"
IDS_MAX = 100
"""Ids of one References field whose signature is looked at, the newest first."""
TEXT_MAX = 524_288
"""Bytes of one text that are searched for a marker."""

_INDEX_HEADER = 22


class Place(NamedTuple):
    """Where a mail belongs.

    Attributes:
        conversation: ``cnv_…``.
        root: the Message-ID that began the thread, as far as the mail tells; its own for a first mail.
        token: the genuine token that led there.
        third_party: see `normalizer.model.Flags`.
    """

    conversation: str
    root: str
    token: Token | None
    third_party: bool


class Reader(NamedTuple):
    """Reads the tokens of one channel.

    Attributes:
        tokens: None where the channel signs nothing.
        channel: id of the channel.
    """

    tokens: Tokens | None
    channel: str

    def ids(self, found: Iterable[str]) -> Token | None:
        """Find the first genuine token among Message-IDs."""
        if self.tokens is None:
            return None
        return next((token for one in found if (token := self.tokens.read_message_id(one, self.channel))), None)

    def addresses(self, found: Iterable[str]) -> Token | None:
        """Find the first genuine token among addresses made by `Tokens.reply_address`."""
        if self.tokens is None:
            return None
        return next((token for one in found if (token := self.tokens.read_address(one, self.channel))), None)

    def return_paths(self, found: Iterable[str]) -> Token | None:
        """Find the first genuine token among addresses made by `Tokens.return_path`."""
        if self.tokens is None:
            return None
        return next((token for one in found if (token := self.tokens.read_return_path(one, self.channel))), None)

    def texts(self, root: Entity) -> Token | None:
        """Find a marker in the texts of a mail; it is ASCII in every charset that mail uses, so nothing is decoded."""
        if self.tokens is None:
            return None
        for leaf in leaves(root):
            if leaf.kind == "text" or leaf.partless:
                text = leaf.payload()[:TEXT_MAX].decode("latin-1")
                if (token := self.tokens.find_marker(text, self.channel)) is not None:
                    return token
        return None

    def knows(self, token: Token, sender: str, roots: list[str]) -> bool:
        """Tell whether `sender` is whom the conversation of `token` is with; `roots` tell where the token does not."""
        told = self.tokens.is_for(token, sender) if self.tokens is not None else None
        return bool(told) or any(one == token.conversation for one in _conversations(self, sender, roots))


def place(
    reader: Reader,
    root: Entity,
    *,
    own: str,
    sender: str,
    recipients: Iterable[str],
    originals: Iterable[str] = (),
    begun_by: str | None = None,
) -> Place:
    """Find the conversation of a mail.

    Args:
        reader: for the channel it came to.
        root: the mail.
        own: its Message-ID, or what stands for it.
        sender: address of its author in lower case; empty where unknown.
        recipients: addresses it came to, of the envelope and of the header.
        originals: the mail a report is about (`Bounce.originals`), which counts like In-Reply-To. A report is sent by a
            system, and therefore is never a third party's.
        begun_by: the first Message-ID of the sender's thread with the mail's Thread-Index, where that is remembered; it
            counts where the mail names no other, and brings nobody into a conversation that is not the sender's.
    """
    reported = tuple(originals)
    before = [*reported, *earlier(root.fields)]
    if not before and begun_by and _leads(reader, begun_by, sender):
        before = [begun_by]
    first = root_of(root.fields, reported[0] if reported else own, begun_by if begun_by in before else None)
    token = reader.ids([*before[:IDS_MAX], own]) or reader.addresses(recipients) or reader.texts(root)
    if token is None or token.conversation is None:
        return Place(conversation_of(reader.channel, sender, first), first, None, third_party=False)
    known = bool(reported) or reader.knows(token, sender, [first, *before[:IDS_MAX]])
    return Place(token.conversation, first, token, third_party=not known)


def conversation_of(channel: str, address: str, root: str) -> str:
    """Derive the conversation with `address`, that begins with the Message-ID `root` (without brackets)."""
    return ids.conversation_id(channel, ids.digest(SCHEME, address.lower(), root))


def conversation_for(reader: Reader, message: Outbound) -> str:
    """Say which conversation a mail of ours belongs to, for its tokens.

    The one the caller named; else that of the mail it answers, if that is ours; else that of the recipient in the
    thread it joins; else a new one, because two mails to one person are two matters.
    """
    channel, address = reader.channel, message.to.value.lower()
    if message.conversation and message.conversation != ids.conversation_id(channel, message.to.value):
        return message.conversation
    answered = message.reply_to.provider_id if message.reply_to is not None else None
    token = reader.ids(filter(None, (answered, message.thread)))
    if token is not None and token.conversation is not None:
        return token.conversation
    return conversation_of(channel, address, message.thread or answered or message.id)


def earlier(fields: Fields) -> list[str]:
    """List the ids of the mails before this one, the nearest first."""
    found = [*message_ids(fields.raw("in-reply-to")), *reversed(message_ids(fields.raw("references")))]
    return list(dict.fromkeys(found))


def root_of(fields: Fields, own: str, begun_by: str | None = None) -> str:
    """Name the first mail of a thread: as the mail tells, else as is remembered, else by Thread-Index.

    A first mail with a Thread-Index is its own root, like that of any other program.
    """
    listed = message_ids(fields.raw("references")) or message_ids(fields.raw("in-reply-to"))
    if listed or begun_by:
        return listed[0] if listed else begun_by or own
    index = index_of(fields)
    return f"thread-index:{index.thread}" if index is not None and index.answers else own


class Index(NamedTuple):
    """A Thread-Index: what names the thread, and how many answers there were."""

    thread: str
    answers: int


def index_of(fields: Fields) -> Index | None:
    """Read Thread-Index, which Outlook and Exchange write; None where there is none, or a damaged one.

    22 bytes name the conversation, every answer adds 5 (MS-OXOMSG §2.2.1.3,
    https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxomsg/9e994fbb-b839-495f-84e3-2c8c02c7dd9b).
    """
    try:
        data = binascii.a2b_base64("".join(fields.raw("thread-index").split())[:4096])
    except ValueError:  # not ASCII, or binascii.Error
        return None
    answers, odd = divmod(len(data) - _INDEX_HEADER, 5)
    if data[:1] != b"\x01" or answers < 0 or odd:
        return None
    return Index(data[6:_INDEX_HEADER].hex(), answers)


def _leads(reader: Reader, begun_by: str, sender: str) -> bool:
    """Tell whether what is remembered may be believed: whoever wrote in the sender's name may have put it there."""
    token = reader.ids((begun_by,))
    return token is None or reader.knows(token, sender, [begun_by])


def _conversations(reader: Reader, sender: str, roots: Iterable[str]) -> Iterator[str]:
    """List the conversations this sender may have by these roots: begun by the sender, or by us."""
    yield ids.conversation_id(reader.channel, sender)
    for root in roots:
        yield conversation_of(reader.channel, sender, root)
        token = reader.ids((root,))
        if token is not None and token.message is not None:
            yield conversation_of(reader.channel, sender, token.message)
