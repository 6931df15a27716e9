"""Slack apps: Events API, interactivity and slash commands in, Web API out (https://docs.slack.dev/).

Slack waits 3 s for an answer and repeats an event three times: at once, after a minute, after five. Which try it is
(`X-Slack-Retry-Num`) is information only: an event that comes again is recognised by what it tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from connectors.api import Context, Delivery, Fetched, Reply, Sink
from connectors.errors import RecipientGone, Refused, SendError
from connectors.http import Answer
from connectors.registry import connector
from connectors.signatures import check_hmac, check_timestamp
from connectors.slack_api import DONE, Posted, refusal, result
from connectors.slack_config import CAPABILITIES, SlackConfig
from connectors.slack_files import checked, classified, locate, upload
from connectors.slack_probe import told
from connectors.slack_stage import stage
from connectors.webhook import WebhookConnector
from normalizer import build
from normalizer.codecs import slack_send as outgoing
from normalizer.codecs.slack import SlackCodec
from normalizer.methods import EditParams, Params, ReactParams
from normalizer.model import Address, Security
from normalizer.parts import Media
from normalizer.raw import Outbound, RawEvent, Wire

SIGNATURE, TIMESTAMP = "x-slack-signature", "x-slack-request-timestamp"
NO_OPTIONS = Reply(body=b'{"options":[]}', content_type="application/json")
SUGGESTION = b"%22type%22%3A%22block_suggestion%22"
"""A menu asks for its options (https://docs.slack.dev/reference/interaction-payloads/block_suggestion-payload)."""
OWN_MATTERS = (b"url_verification", b"app_rate_limited", b"app_uninstalled", b"tokens_revoked")
"""Words without which a delivery is looked at no further than for its signature."""
TROUBLE = {"app_uninstalled": "the app was uninstalled", "tokens_revoked": "the token was revoked"}

_SIGNED = Security(verified="hmac")


class _Inner(msgspec.Struct, frozen=True):
    type: str = ""


class _Head(msgspec.Struct, frozen=True):
    type: str = ""
    challenge: str = ""
    event: _Inner = _Inner()


_NOTHING = _Head()


@connector("slack", SlackConfig, CAPABILITIES)
class SlackConnector(WebhookConnector[SlackConfig]):
    """A Slack app in one workspace: channels, direct messages, threads, buttons, forms and commands."""

    codec: SlackCodec
    uploads_urls: ClassVar[bool] = True

    def __init__(
        self,
        config: SlackConfig,
        context: Context,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- signed times are compared with it
    ) -> None:
        """Take the keys."""
        super().__init__(config, context)
        self._token, self._secret, self._clock = config.bot_token.reveal(), config.signing_secret.reveal(), clock
        self.hide = (self._token, self._secret)
        self.codec = SlackCodec()
        self._user: str | None = None

    @override
    def verify(self, delivery: Delivery) -> Security:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack."""
        at = delivery.headers.get(TIMESTAMP, "")
        signed = b"v0:" + at.encode("utf-8", "surrogatepass") + b":" + delivery.body
        check_hmac(delivery.headers.get(SIGNATURE), signed, self._secret, prefix="v0=")
        check_timestamp(at, self._clock())
        return _SIGNED

    @override
    async def deliver(self, delivery: Delivery, raw: RawEvent, sink: Sink) -> Reply:
        head = _head(raw.body) if any(word in raw.body for word in OWN_MATTERS) else _NOTHING
        if head.type == "url_verification":
            return Reply(body=msgspec.json.encode({"challenge": head.challenge}), content_type="application/json")
        reply = await super().deliver(delivery, raw, sink)
        self._look(head)
        return NO_OPTIONS if SUGGESTION in raw.body else reply

    def _look(self, head: _Head) -> None:
        """Notice what is wrong with the app itself (https://docs.slack.dev/reference/events/app_uninstalled)."""
        if head.type == "app_rate_limited":
            self.context.log.warning("slack_limits_events")
        elif head.type == "event_callback" and head.event.type in TROUBLE:
            self.context.report("credentials", TROUBLE[head.event.type], down=True)

    @override
    def url_and_headers(self, wire: Wire) -> tuple[str, dict[str, str]]:
        url, headers = super().url_and_headers(wire)
        if wire.url.startswith("/"):  # not to a `response_url`, which needs no token
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        if headers.get("Content-Type") == "application/json":
            headers["Content-Type"] = "application/json; charset=utf-8"
        return url, headers

    @override
    def classify(self, answer: Answer) -> SendError | None:
        if answer.ok and answer.body in {b"ok", b""}:  # of a `response_url`
            return None
        return refusal(answer, self.hide)

    @override
    def provider_id(self, answer: Answer) -> str | None:
        if answer.body in {b"ok", b""}:
            return None
        posted = result(answer, Posted)
        file = next((one.get("id") for one in posted.files), None)
        return posted.ts or (file if isinstance(file, str) else None)

    @override
    async def stage(self, message: Outbound) -> Outbound:
        if any(isinstance(part, outgoing.FILES) for part in message.parts):
            message = replace(message, to=await self._opened(message.to))
        return await stage(message, self.staging, self.upload_part)

    @override
    async def upload(self, media: Media) -> Media:
        content = await self.bytes_of(media)
        return await upload(self.request, self.context.http, media, content, self.config.media_timeout_secs)

    async def _opened(self, to: Address) -> Address:
        """Find the channel of direct messages with a person: files are shared with channels only.

        https://docs.slack.dev/reference/methods/conversations.open
        """
        if outgoing.target(to)[0] not in "UW":
            return to
        answer = await self.request(build.post("/conversations.open", {"users": to.value}))
        channel = result(answer, Posted).channel
        native = channel.get("id") if isinstance(channel, dict) else None
        if not isinstance(native, str):
            raise RecipientGone("Slack opened no direct messages with this person")
        return replace(to, value=native)

    async def fetch_media(self, media: Media, *, max_bytes: int) -> Fetched:
        """See `MediaSource`; files are behind the bot's token."""
        url = await locate(self.request, media, self.config.media_hosts)
        try:
            found = await self.fetch_url(url, max_bytes=max_bytes, headers={"Authorization": f"Bearer {self._token}"})
        except SendError as exc:
            raise classified(exc) from None
        return checked(found, media)

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; what was done before is a success."""
        if isinstance(params, ReactParams) and not params.emoji:
            await self._unreact(method, params)
            return {}
        wire = self.codec.request(method, params)
        try:
            native = self.provider_id(await self.request(wire))
        except SendError as exc:
            if isinstance(params, EditParams) or exc.provider_code not in DONE:
                raise
            native = None
        return {"provider_id": native} if native else {}

    async def _unreact(self, method: str, params: ReactParams) -> None:
        """Take back every reaction of ours; Slack wants each by name."""
        asked = outgoing.reactions_of(method, params)
        found = result(await self.request(asked), dict[str, Any])
        me = self._user or result(await self._ask("/auth.test"), dict[str, Any]).get("user_id")
        self._user = me
        for name in outgoing.named_by(found, me):
            try:
                await self.request(outgoing.reaction("/reactions.remove", method, params, name))
            except Refused as exc:
                if exc.provider_code not in DONE:
                    raise

    async def _ask(self, path: str) -> Answer:
        return await self.request(Wire(method="POST", url=path))

    async def probe(self) -> dict[str, Any]:
        """See `Prober`."""
        return told(await self._ask("/auth.test"))


def _head(body: bytes) -> _Head:
    try:
        return msgspec.json.decode(body, type=_Head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _NOTHING
