"""One visitor's connection, or one of his requests: what is known while it lasts."""

from __future__ import annotations

from typing import Literal

from connectors.chat.tokens import Pass
from normalizer.codecs.chat_types import Call, Client, Page, Visitor

Transport = Literal["ws", "poll"]


class Session:
    """See the module.

    Attributes:
        given: what the token says.
        remote: address of the client, for limits.
        seq: up to where the client has been sent the conversation; None where that is not known (polling).
        said: something was said in the conversation, and it has not been closed since; None where it is not known.
    """

    __slots__ = ("client", "given", "locale", "page", "remote", "said", "seq", "transport", "typed_at")

    def __init__(self, given: Pass, *, transport: Transport, remote: str) -> None:
        """Begin with what the token says."""
        self.given, self.transport, self.remote = given, transport, remote
        self.page: Page | None = None
        self.locale: str | None = given.who.locale if given.who else None
        self.client: Client | None = None
        self.seq: int | None = None
        self.said: bool | None = None
        self.typed_at = 0.0

    @property
    def feed(self) -> str:
        """The feed of the conversation, which has the name of its visitor."""
        return self.given.visitor

    @property
    def id(self) -> str:
        """Id of the session."""
        return self.given.session

    @property
    def visitor(self) -> Visitor:
        """Who it is."""
        who = self.given.who
        if who is None:
            return Visitor(id=self.given.visitor)
        return Visitor(id=self.given.visitor, name=who.name, addresses=who.addresses)

    def call(self, method: str, **fields: object) -> Call:
        """Describe what the visitor did, for the codec."""
        known: dict[str, object] = {
            "page": self.page,
            "locale": self.locale,
            "client": self.client,
            "identified": self.given.who is not None,
        }
        return Call(
            method=method,
            visitor=self.visitor,
            session=self.id,
            transport=self.transport,
            **{**known, **fields},  # type: ignore[arg-type]
        )
