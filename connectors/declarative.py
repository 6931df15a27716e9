"""A webhook channel without code: kind `webhook`, described by expressions in the configuration."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct
from typing_extensions import override
from yarl import URL

from connectors.api import Capabilities, Context, Delivery, Reply
from connectors.declarative_options import (
    Auth,
    BasicAuth,
    BearerAuth,
    Handshake,
    HeaderAuth,
    Verify,
)
from connectors.declarative_verify import verifier
from connectors.errors import Refused, SendError
from connectors.http import Answer, shorten
from connectors.registry import connector
from connectors.secrets import Secret
from connectors.signatures import check_token
from connectors.webhook import WebhookConfig, WebhookConnector
from normalizer.codecs.declarative import DeclarativeCodec
from normalizer.codecs.declarative_events import METHODS
from normalizer.codecs.declarative_expr import Expression, Unreadable
from normalizer.codecs.declarative_options import Receive, Send
from normalizer.codecs.declarative_values import word
from normalizer.model import Security
from normalizer.parts import type_names
from normalizer.raw import Wire

CHALLENGE_CHARS = 1024
NO_SNIFF = {"X-Content-Type-Options": "nosniff"}


class DeclarativeConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of a declarative channel; it needs `receive`, `send` or both.

    Attributes:
        base_url: where messages are sent; `send.path` goes below it. `api_base` is another name for it.
        token: bearer token sent with every request; short for ``auth = {scheme = "bearer", token = …}``.
        auth: how requests are authenticated, where it is not a bearer token.
        verify: how deliveries are authenticated; needed with `receive`, and "none" must be spelled out.
        handshake: how the provider makes sure that the URL is ours.
        receive: where things are in a delivery.
        send: the request a message becomes.
        on_malformed: a body of which nothing could be made is refused with 400, so that the sender notices
            (``reject``), or answered 200 and kept (``quarantine``), for providers that disable a failing hook.
    """

    base_url: str = ""
    token: Secret | None = None
    auth: Auth | None = None
    verify: Verify | None = None
    handshake: Handshake | None = None
    receive: Receive | None = None
    send: Send | None = None
    on_malformed: Literal["reject", "quarantine"] = "reject"

    def __post_init__(self) -> None:
        """Compile and cross-check everything; raises `ValueError` that names every faulty option, in one line."""
        problems = [*_url_problems(self), *_table_problems(self)]
        try:
            DeclarativeCodec(self.receive, self.send)
        except ValueError as exc:
            problems.append(str(exc))
        if self.handshake and self.handshake.field:
            try:
                Expression(self.handshake.field, "$.handshake.field")
            except ValueError as exc:
                problems.append(str(exc))
        if problems:
            raise ValueError("; ".join(problems))


def _url_problems(config: DeclarativeConfig) -> Iterator[str]:
    if config.base_url and config.api_base:
        yield "$.base_url: api_base says the same; give one of them"
    base = config.base_url or config.api_base
    if not base:
        if config.send is not None:
            yield "$.base_url: is missing, and send needs it"
        return
    try:
        url = URL(base)
    except ValueError:
        yield "$.base_url: is not a URL"
        return
    if url.scheme not in {"http", "https"} or not url.host:
        yield "$.base_url: must start with https:// (or http://) and a host"
    elif url.user is not None or url.password is not None:
        yield "$.base_url: credentials do not belong here, use auth"
    elif url.query_string or url.fragment:
        yield "$.base_url: ends before the query; put that into send.query"


def _table_problems(config: DeclarativeConfig) -> Iterator[str]:
    if config.receive is None and config.send is None:
        yield "$.receive: a webhook channel needs receive, send or both"
    if config.receive is not None and config.verify is None:
        yield '$.verify: say who may deliver: scheme = "hmac", "token" or "basic", or "none" for anybody'
    if config.token is not None and config.auth is not None:
        yield "$.token: auth says the same; give one of them"
    if not all(value and value.isascii() and value.isprintable() for value in _credentials(config).values()):
        yield "$.auth: holds a character that an HTTP header cannot carry"


@connector(
    "webhook",
    DeclarativeConfig,
    Capabilities(
        receives=tuple(sorted(METHODS)),
        parts=type_names,
        notes=("What a channel can do is what its receive and send tables say.", "One request per message."),
    ),
)
class DeclarativeConnector(WebhookConnector[DeclarativeConfig]):
    """A webhook of any provider, described by expressions (JMESPath) instead of code.

    Attributes:
        capabilities: of this channel; those of the kind are what any declarative channel could do.
    """

    codec: DeclarativeCodec

    def __init__(self, config: DeclarativeConfig, context: Context, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251
        """Compile the channel; `clock` is Unix time, for signed timestamps."""
        super().__init__(config, context)
        self.codec = DeclarativeCodec(config.receive, config.send)
        self.on_malformed = config.on_malformed  # type: ignore[misc] # fixed per kind elsewhere, an option here
        self._check, scheme = verifier(config.verify, clock)
        self._security = Security(verified=scheme)
        self._auth = _credentials(config)
        self._base = (config.base_url or config.api_base).rstrip("/")
        self._handshake = config.handshake
        field = config.handshake.field if config.handshake else None
        self._challenge = None if field is None else Expression(field, "$.handshake.field")
        self.capabilities = Capabilities(
            receives=tuple(sorted(METHODS)) if config.receive else (),
            parts=config.send.parts if config.send else (),
        )
        self.hide = tuple(secret.reveal() for secret in _secrets(config))

    @override
    def verify(self, delivery: Delivery) -> Security:
        """See `WebhookConnector.verify`."""
        self._check(delivery)
        return self._security

    @override
    def greet(self, delivery: Delivery) -> Reply | None:
        """Answer a handshake."""
        if self._handshake is not None:
            challenge = self._asked(delivery)
            if challenge is not None:
                return _echo(challenge, self._handshake.reply)
        return super().greet(delivery)

    def _asked(self, delivery: Delivery) -> str | None:
        """Find the challenge of a handshake; raises `Unauthorized` when there is one and its sender is not proved."""
        options = self._handshake
        if options is None:
            return None
        if delivery.method == "GET" and options.query is not None:
            challenge = delivery.query.get(options.query)
            if challenge is not None and options.token is not None:
                check_token(delivery.query.get(options.token_query or ""), options.token.reveal())
            return challenge
        if delivery.method == "POST" and self._challenge is not None:
            challenge = _search(self._challenge, delivery.body)
            if challenge is not None:
                self.verify(delivery)
            return challenge
        return None

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        """Put the path below the base URL; whatever the path, the host stays the configured one."""
        return self._base + wire.url, {**wire.headers, **self._auth}

    @override
    def classify(self, answer: Answer) -> SendError | None:
        """Read the status, then `send.failed`."""
        error = super().classify(answer)
        if error is not None:
            return error
        _, reason = self.codec.answer(answer.body)
        if reason is None:
            return None
        return Refused("the provider's answer says no (send.failed)", provider_text=shorten(reason, self.hide))

    @override
    def provider_id(self, answer: Answer) -> str | None:
        """Read `send.id`."""
        return self.codec.answer(answer.body)[0]


def _search(expression: Expression, body: bytes) -> str | None:
    try:
        return word(expression(msgspec.json.decode(body)), expression.path)
    except (msgspec.DecodeError, Unreadable, UnicodeDecodeError, RecursionError):
        return None


def _echo(challenge: str, style: Literal["text", "json"]) -> Reply:
    if len(challenge) > CHALLENGE_CHARS:
        return Reply(status=400, body=b"malformed_payload")
    if style == "json":
        body = msgspec.json.encode({"challenge": challenge})
        return Reply(body=body, content_type="application/json", headers=NO_SNIFF)
    return Reply(body=challenge.encode("utf-8", "replace"), headers=NO_SNIFF)


def _credentials(config: DeclarativeConfig) -> dict[str, str]:
    match config.auth:
        case BearerAuth(token=token):
            return {"Authorization": f"Bearer {token.reveal()}"}
        case BasicAuth(user=user, password=password):
            pair = f"{user}:{password.reveal()}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
        case HeaderAuth(header=header, value=value, prefix=prefix):
            return {header: prefix + value.reveal()}
        case None:
            return {"Authorization": f"Bearer {config.token.reveal()}"} if config.token else {}


def _secrets(options: Struct) -> Iterator[Secret]:
    """Collect every secret of the options, however deep."""
    for name in options.__struct_fields__:
        value: Any = getattr(options, name)
        if isinstance(value, Secret):
            yield value
        elif isinstance(value, Struct):
            yield from _secrets(value)
