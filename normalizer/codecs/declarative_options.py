"""The options `receive` and `send` of a declarative channel, as types; compiled by the codec.

Everything called an expression is JMESPath (https://jmespath.org). Mind its quoting: ``'word'`` is a string,
``"key"`` a key with unusual characters, and JSON such as ``true`` stands in back quotes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(gt=0)]


class Receive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[channels.<id>.receive]`: where things are in a delivery.

    The first three are about the delivery, everything after is evaluated for each item. `id` is what makes two
    deliveries the same; where the provider gives none, build one: ``join('-', [from, to_string(timestamp)])``.

    Attributes:
        content_type: ``json``, or ``form`` for form-encoded bodies (an object of strings; a repeated name is a list).
        each: expression for the items of a delivery: a list, or an object that is the only item. Nothing there is an
            error, an empty list is not.
        max_items: the most items of one delivery; more are refused as a whole.
        skip: condition; items it is true for are counted as ignored.
        id: the provider's id of the message, or of the event.
        scope: what makes `id` unique inside the channel, if it is not by itself (a chat, an account).
        revision: number or time that changes when the message is edited; then it becomes `message.updated`.
        sender: address of whoever wrote.
        sender_name: their name.
        scheme: literal, not an expression: what kind of address `sender` is (``tel``, ``mailto``); by default the id
            of the channel, so that equal ids of two providers are not taken for one contact.
        also: further addresses of the sender: a list of ``{scheme, value}``; what finds no value is left out.
        recipient: our own address that was written to.
        conversation: what replies must be addressed to; by default the sender.
        group: condition; true when the conversation has several customers.
        subject: the message's subject.
        thread: the provider's id of the thread inside the conversation.
        reply_to: the provider's id of the message this one answers.
        text: the message's text; a number will do.
        text_format: literal: ``plain``, ``markdown`` or ``html``.
        media: list of ``{url, id, type, name, caption, size, width, height, duration_ms, voice}``, or of URLs; `type`
            is a MIME type or ``image``, ``audio``, ``voice``, ``video``, ``sticker``, ``file``. Kept as references.
        location: ``{lat, lon, name, address}``.
        choice: id of the button or list entry the customer chose; `text` is then its title.
        type: the provider's word for the kind of content; names content for which nothing above fits.
        sent_at: ISO 8601, or Unix time in seconds, milliseconds or microseconds; without zone it is UTC.
        method: what happened, as one of our methods or a word of `methods`. Without it: `message.status` when `status`
            finds something, else `message.received`.
        methods: the provider's words for `method`, to ours or to ``ignore``.
        about: the provider's id (or ours, ``msg_…``) of the message that a status, deletion, reaction or receipt is
            about; by default `id`.
        status: ``sent``, ``delivered``, ``read``, ``failed``, ``expired``, ``queued``, or a word of `statuses`.
        statuses: the provider's words for `status`, to ours.
        error: why a message failed, in words.
        emoji: of a reaction.
        metadata: expressions whose values are copied to `metadata.webhook`, under the same names.
    """

    content_type: Literal["json", "form"] = "json"
    each: str = "@"
    max_items: Positive = 1000
    skip: str | None = None
    id: str
    scope: str | None = None
    revision: str | None = None
    sender: str
    sender_name: str | None = None
    scheme: str | None = None
    also: str | None = None
    recipient: str | None = None
    conversation: str | None = None
    group: str | None = None
    subject: str | None = None
    thread: str | None = None
    reply_to: str | None = None
    text: str | None = None
    text_format: Literal["plain", "markdown", "html"] = "plain"
    media: str | None = None
    location: str | None = None
    choice: str | None = None
    type: str | None = None
    sent_at: str | None = None
    method: str | None = None
    methods: dict[str, str] = {}
    about: str | None = None
    status: str | None = None
    statuses: dict[str, str] = {}
    error: str | None = None
    emoji: str | None = None
    metadata: dict[str, str] = {}


class Send(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[channels.<id>.send]`: the one request a message becomes.

    A string that starts with ``=`` is an expression over the message (`Outbound`: ``id``, ``to.value``, ``text``,
    ``parts``, ``reply_to.provider_id``, ``thread``, ``subject``, ``metadata`` …); any other value is taken literally,
    and ``==`` writes a leading equals sign. What evaluates to null is left out.

    Attributes:
        method: the HTTP method.
        path: below `base_url`, starting with ``/``; ``{expression}`` inserts a value, percent-encoded.
        headers: further headers; credentials belong into `auth`.
        query: the query string.
        body: the body, nested as needed.
        content_type: how the body is written: ``json``, or ``form`` (flat; a list repeats the name).
        parts: the part types that `body` takes care of; messages with others are refused, or degraded to text on
            demand.
        id: expression over the answer (JSON) for the id the provider gave the message.
        failed: condition over the answer; true when a 2xx answer is a refusal nevertheless.
        error: expression over the answer for the reason.
    """

    method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
    path: str
    headers: dict[str, str] = {}
    query: dict[str, Any] = {}
    body: Any = None
    content_type: Literal["json", "form"] = "json"
    parts: tuple[str, ...] = ("text",)
    id: str | None = None
    failed: str | None = None
    error: str | None = None
