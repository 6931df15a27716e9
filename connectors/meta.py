"""What the channels of Meta have in common: signature, handshake, shared deliveries, the Graph API.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override
from yarl import URL

from connectors.api import Context, Delivery, Reply, Sink
from connectors.errors import Busy, SendError
from connectors.http import Answer
from connectors.meta_api import refusal
from connectors.meta_probe import FIRST_SECS, TokenWatch
from connectors.meta_siblings import Sibling, Siblings, Told, not_running
from connectors.secrets import Secret
from connectors.signatures import check_hmac, check_token
from connectors.webhook import WebhookConfig, WebhookConnector
from normalizer.codecs.meta import Head, Links, Shared
from normalizer.model import ChannelRef, Security
from normalizer.raw import RawEvent, Wire

SIGNATURE = "x-hub-signature-256"
API_VERSION = "v26.0"
"""https://developers.facebook.com/docs/graph-api/changelog."""

CHALLENGE_MAX = 256
_SIGNED = Security(verified="hmac")
_BAD_REQUEST = Reply(status=400, body=b"malformed_payload")


class MetaConfig(WebhookConfig, frozen=True, kw_only=True):
    """Options of every channel of Meta's.

    Attributes:
        app_secret: the app's secret (App settings, Basic), which signs deliveries. Channels with the same one share
            their webhook: each delivery goes to the channels its items are for, whichever channel's URL it came to.
        verify_token: a word of your choice, entered with the webhook's URL.
        access_token: proves us to the API; of a system user, so that it does not end.
        appsecret_proof: prove with every call that we know the secret, as the app may require (App settings, Advanced).
        api_base: where the Graph API is; change it for a proxy or a test.
        api_version: version of the Graph API.
    """

    app_secret: Secret
    verify_token: Secret
    access_token: Secret
    appsecret_proof: bool = False
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://graph.facebook.com"
    api_version: Annotated[str, Meta(pattern=r"^v\d+\.\d+$")] = API_VERSION


M = TypeVar("M", bound=MetaConfig)


class MetaConnector(WebhookConnector[M]):
    """Base class of the kinds; a subclass sets `codec` and calls `__init__` with its account.

    Attributes:
        account: the id of ours that items name (phone number, page, Instagram account).
        told: pairs of addresses that were told already; for the codec.
        siblings: the channels of the same app; for the codec.
    """

    codec: Shared

    def __init__(
        self,
        config: M,
        context: Context,
        account: str,
        *,
        first_check_secs: float = FIRST_SECS,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- tokens end at a time of day
    ) -> None:
        """Take the keys, and a place among the channels of the app."""
        super().__init__(config, context)
        self.account, self._clock = account, clock
        self._app_secret, self._access_token = config.app_secret.reveal(), config.access_token.reveal()
        self._verify_token = config.verify_token.reveal()
        self.hide = (self._app_secret, self._access_token, self._verify_token)
        self._base = f"{config.api_base.rstrip('/')}/{config.api_version}"
        self._watch = TokenWatch(context, self._access_token, first_secs=first_check_secs, clock=clock)
        self.told = Told()
        self.siblings = Siblings(context.hub, context.channel.type, self._app_secret)
        self.siblings.add(account, self)

    @property
    def secret(self) -> str:
        """See `Sibling`."""
        return self._app_secret

    @property
    def ref(self) -> ChannelRef:
        """See `Sibling`."""
        return self.context.channel

    @property
    def running(self) -> bool:
        """See `Sibling`."""
        return self._sink is not None

    @override
    def verify(self, delivery: Delivery) -> Security:
        check_hmac(delivery.headers.get(SIGNATURE), delivery.body, self._app_secret, prefix="sha256=")
        return _SIGNED

    @override
    def greet(self, delivery: Delivery) -> Reply | None:
        """Answer the handshake: GET with our token wants ``hub.challenge`` back."""
        if delivery.method != "GET":
            return super().greet(delivery)
        query = delivery.query
        check_token(query.get("hub.verify_token"), self._verify_token)
        challenge = query.get("hub.challenge", "")
        if query.get("hub.mode") != "subscribe" or not 0 < len(challenge) <= CHALLENGE_MAX:
            return _BAD_REQUEST
        return Reply(body=challenge.encode("utf-8", "replace"))

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        """Hand each channel of the app its share; the delivery is accepted once every share is durable."""
        heads = self.codec.heads(raw.body)
        shares = self._shares(heads)
        if set(shares) <= {self.account}:
            await sink(raw)
            self.told.add(_links(heads))
            return self.accepted
        failures: list[Exception] = []
        async with asyncio.TaskGroup() as group:
            for target, share in shares.values():
                group.create_task(self._hand(target, raw, share, sink, failures))
        if failures:
            raise next((one for one in failures if not isinstance(one, Busy)), failures[0])
        return self.accepted

    def _shares(self, heads: Iterable[Head]) -> dict[str, tuple[Sibling, list[Head]]]:
        """Sort by account; what is nobody's, or cannot be told, is ours to put into quarantine."""
        shares: dict[str, tuple[Sibling, list[Head]]] = {}
        for head in heads:
            foreign = head.account not in {"", self.account}
            target: Sibling = (self.siblings.of(head.account) if foreign else None) or self
            account = self.account if target is self else head.account
            shares.setdefault(account, (target, []))[1].append(head)
        return shares

    async def _hand(
        self, target: Sibling, raw: RawEvent, share: list[Head], sink: Sink, failures: list[Exception]
    ) -> None:
        part = replace(raw, body=self.codec.join(share))
        try:
            if target is self:
                await sink(part)
                self.told.add(_links(share))
            else:
                await target.take(part, _links(share))
        except Exception as exc:  # noqa: BLE001 -- the other shares go on; it becomes the answer
            failures.append(exc)

    async def take(self, raw: RawEvent, links: Iterable[tuple[str, str]]) -> None:
        """See `Sibling`."""
        sink = self._sink
        if sink is None:
            raise not_running()
        await sink(replace(raw, channel=self.context.channel))
        self.told.add(links)

    @override
    async def background(self) -> None:
        await self._watch.run(self.request)

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url = wire.url if wire.url.startswith(("https://", "http://")) else self._base + wire.url
        if self.config.appsecret_proof:
            proof = hmac.digest(self._app_secret.encode(), self._access_token.encode(), "sha256").hex()
            url = str(URL(url).update_query(appsecret_proof=proof))
        return url, {**wire.headers, "Authorization": f"Bearer {self._access_token}"}

    @override
    def classify(self, answer: Answer) -> SendError | None:
        return refusal(answer, self.hide)

    async def shake(self) -> bool:
        """Do the handshake with ourselves."""
        query = {"hub.mode": "subscribe", "hub.verify_token": self._verify_token, "hub.challenge": "1158201444"}
        reply = await self.handle(Delivery(method="GET", path="", url="", query=query, headers={}, body=b""))
        return reply.status == 200 and reply.body == b"1158201444"


def _links(heads: Iterable[Head]) -> Links:
    return tuple(pair for head in heads for pair in head.links)
