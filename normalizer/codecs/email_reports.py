"""What a mail tells about other mails: bounces and receipts of what we sent, and the conversation it joins.

A report is a mail, and is delivered as one. Where it proves by a token of ours (Message-ID of the returned mail,
References, return path) which message it is about, it becomes a second event: `message.status` (failed, delivered) or
`receipt.read`. Who has the token got that message, so nobody can declare somebody else's message failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from normalizer import build, ids, rpc
from normalizer.mail import bounce, classify, report
from normalizer.mail.address import addresses
from normalizer.mail.headers import Fields
from normalizer.mail.mime import Entity
from normalizer.mail.threading import Place, Reader, earlier, place
from normalizer.mail.tokens import Tokens
from normalizer.model import Conversation, Flags, MessageRef, Party, ReceiptParams, StatusError, StatusParams
from normalizer.raw import Event, RawEvent

_CAME_TO = ("to", "cc", "delivered-to", "x-original-to", "x-envelope-to", "envelope-to", "x-forwarded-to")
_RECIPIENTS_MAX = 200


class Context(NamedTuple):
    """What a mail is and where it belongs.

    Attributes:
        bounce: what a delivery report says.
        read: what a disposition notification says.
        place: the conversation.
        flags: None where there is none.
        about: the mail that it answers or reports on.
        ours: the message of ours that a report proves to be about.
    """

    bounce: bounce.Bounce | None
    read: report.Read | None
    place: Place
    flags: Flags | None
    about: MessageRef | None
    ours: MessageRef | None

    @property
    def system(self) -> bool:
        """A mail system wrote it."""
        return self.bounce is not None

    def conversation(self, address: str | None) -> Conversation:
        """Describe the conversation, with the address of its answers.

        A report or a third party must not change where answers go that a customer waits for.
        """
        foreign = self.place.token is not None and (self.system or self.read is not None or self.place.third_party)
        return Conversation(id=self.place.conversation, kind="email", provider_id=None if foreign else address)

    def metadata(self) -> dict[str, Any]:
        """Tell what the reports say, for ``metadata.email``."""
        told: dict[str, Any] = {}
        if self.bounce is not None:
            told["bounce"] = {
                "recipients": [msgspec.to_builtins(one) for one in self.bounce.recipients],
                "standard": self.bounce.standard,
                **({"original": self.bounce.originals[0]} if self.bounce.originals else {}),
            }
        if self.read is not None:
            told["receipt"] = msgspec.to_builtins(self.read)
        return told


def understand(
    raw: RawEvent, root: Entity, *, own: str, author: str, envelope: list[str], tokens: Tokens | None
) -> Context:
    """Read the reports of a mail, and find its place.

    Args:
        raw: the delivery.
        root: the mail.
        own: its Message-ID, or what stands for it.
        author: address of its author in lower case; empty where unknown.
        envelope: the recipients of the envelope.
        tokens: ours; None where the channel signs nothing.
    """
    fields, mail_from = root.fields, raw.meta.get("mail_from")
    ours = frozenset(one.lower() for one in envelope)
    reader = Reader(tokens, raw.channel.id)
    back = bounce.read(root, mail_from, ours)
    read = report.disposition(root) if back is None else None
    originals: tuple[str, ...] = back.originals if back is not None else ()
    if read is not None:
        originals = tuple(dict.fromkeys([*report.original_ids(report.leaves(root)), *earlier(fields)]))
    came_to = [*envelope, *_came_to(fields)]
    found = place(
        reader, root, own=own, sender=author, recipients=came_to, originals=originals, begun_by=raw.meta.get("begun_by")
    )
    loop = classify.is_loop(fields, tokens, raw.channel.id, ours)
    flags = classify.flags_of(root, back, read, mail_from, loop=loop, third_party=found.third_party)
    about = _about(reader, originals)
    if back is not None and (about is None or about.id is None) and (path := reader.return_paths(came_to)):
        about = MessageRef(id=path.message, provider_id=about.provider_id if about else None)
    reported = about if about is not None and about.id is not None and (back or read) else None
    return Context(back, read, found, flags, about or _about(reader, tuple(earlier(fields)[:1])), reported)


def _came_to(fields: Fields) -> list[str]:
    boxes = (box.address for name in _CAME_TO for value in fields.every(name)[:20] for box in addresses(value))
    return [address for address, _ in zip(boxes, range(_RECIPIENTS_MAX), strict=False)]


def _about(reader: Reader, candidates: tuple[str, ...]) -> MessageRef | None:
    """Name the mail by our own id where it is ours; else by its Message-ID, as it was or will be received."""
    for one in candidates:
        token = reader.ids((one,))
        if token is not None:
            return MessageRef(id=token.message, provider_id=one)
    return MessageRef(provider_id=candidates[0]) if candidates else None


def reference(raw: RawEvent, context: Context) -> MessageRef | None:
    """Refer to the mail that is answered or reported on, as `message.reply_to`."""
    about = context.about
    if about is None or about.id is not None or about.provider_id is None:
        return about
    return MessageRef(id=ids.message_id(raw.channel.id, "", about.provider_id), provider_id=about.provider_id)


def events(raw: RawEvent, context: Context, sender: Party, *, normalizer: str) -> Iterator[Event]:
    """Turn a report about a message of ours into an event about that message."""
    about, found = context.ours, context.place.token
    if about is None:
        return
    joined = None
    if found is not None and found.conversation is not None:
        joined = Conversation(id=found.conversation, kind="email")
    fields: dict[str, Any] = {"message": about, "at": raw.received_at, "conversation": joined, "normalizer": normalizer}
    if context.bounce is not None:
        yield from _status(raw, context.bounce, about, fields)
    elif context.read is not None and context.read.disposition == "displayed":
        reader = sender.addresses[0].value if sender.addresses else ""
        yield build.event(
            raw,
            "receipt.read",
            ReceiptParams,
            native_id=about.id or "",
            scope="email",
            revision=f"read:{reader}",
            sender=sender,
            **fields,
        )


def _status(raw: RawEvent, found: bounce.Bounce, about: MessageRef, fields: dict[str, Any]) -> Iterator[Event]:
    """Failed once somebody will never get it; delivered when everybody has; else there is nothing new to say."""
    told = found.failed or tuple(one for one in found.recipients if one.action == "delivered")
    if not told or (not found.failed and len(told) < len(found.recipients)):
        return
    status = "failed" if found.failed else "delivered"
    whom = ",".join(sorted(one.address for one in told))
    yield build.event(
        raw,
        "message.status",
        StatusParams,
        native_id=about.id or "",
        scope="email",
        revision=f"{status}:{whom}",
        status=status,
        error=_error(found.failed) if found.failed else None,
        metadata={"email": {"recipients": [msgspec.to_builtins(one) for one in told]}},
        **fields,
    )


def _error(failed: tuple[report.Recipient, ...]) -> StatusError:
    """Quote the first refusal; sending the same mail again would fail again, because others have tried for days."""
    first = failed[0]
    diagnostic = first.diagnostic or ""
    code = first.status if first.status and first.status not in diagnostic else ""
    words = f"{code} {diagnostic}".strip() or "not delivered"
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return StatusError(code=rpc.REJECTED, message=f"{first.address}: {words}{more}", retryable=False)
