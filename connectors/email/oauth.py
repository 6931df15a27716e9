"""Access tokens for mailboxes (OAuth 2.0, RFC 6749), and how they are shown to IMAP and SMTP servers (XOAUTH2)."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as midnight
from hashlib import sha256
from typing import Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from connectors.api import Context
from connectors.email.imap_memory import Memory
from connectors.email.oauth_config import OAuthConfig
from connectors.errors import ConnectorError, Misconfigured, SendError, StateUnavailable, Unreachable
from connectors.http import Answer, call, refusal, shorten
from connectors.shared_token import SharedToken

DAY = 86_400.0
TIMEOUT_SECS = 20.0
CHECK_SECS = 60.0
COMPONENT = "oauth"
_APP_SCOPE = "https://outlook.office365.com/.default"
_SCOPES = {
    "imap": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
    "smtp": "https://outlook.office.com/SMTP.Send offline_access",
}
"""https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"""
_MICROSOFT_DAYS = 90
_SIGN_IN = "sign in again and give the new `oauth.refresh_token`"
_ADVICE = {
    "invalid_grant": f"the refresh token has expired or was withdrawn: {_SIGN_IN}",
    "interaction_required": f"the provider wants somebody to sign in: {_SIGN_IN}",
    "consent_required": f"the application lacks a permission: grant it, {_SIGN_IN}",
    "invalid_client": "the provider does not accept `oauth.client_id` and `oauth.client_secret`: the secret may have "
    "expired; create a new one",
    "unauthorized_client": "the application may not ask for such tokens: check its permissions at the provider",
    "invalid_scope": "the provider does not know `oauth.scope`, or the application may not have it",
    "unsupported_grant_type": "the provider gives no such tokens; check `oauth.token_url`",
}
_PASSING = frozenset({"temporarily_unavailable", "server_error"})


class _Answered(Struct):
    """§5.1; `refresh_token_expires_in` is Google's, for access that is limited in time."""

    access_token: str
    expires_in: float | str = 3600.0
    refresh_token: str | None = None
    refresh_token_expires_in: float | None = None


class _Failed(Struct):
    """§5.2."""

    error: str = ""
    error_description: str = ""


class Refresh(Struct, frozen=True):
    """The refresh token in use: since when, and until when if that is known; in seconds since the epoch."""

    value: str
    since: float
    ends: float | None = None


def xoauth2(user: str, token: str) -> str:
    """Write the initial response of XOAUTH2 (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol)."""
    return b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()


class OAuth:
    """The access token of one mailbox; nodes share it, and the refresh token it comes from."""

    def __init__(
        self,
        config: OAuthConfig,
        context: Context,
        use: Literal["imap", "smtp"],
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        """Fetch tokens for `use`."""
        self._config, self._context, self._clock = config, context, clock
        self._scope = config.scope or self._default_scope(use)
        configured = config.refresh_token.reveal() if config.refresh_token else ""
        self._memory = Memory(context, "oauth", config.url, config.client_id, configured)
        name = sha256(f"{config.url} {config.client_id} {self._scope} {configured}".encode()).hexdigest()[:16]
        self._shared = SharedToken(context.state, f"oauth:{use}:{name}", self._fetch, clock=clock)
        self._refresh: Refresh | None = None
        self._stored: Refresh | None = None

    def _default_scope(self, use: Literal["imap", "smtp"]) -> str | None:
        if self._config.provider != "microsoft":
            return None  # Google gives what was granted
        return _SCOPES[use] if self._config.refresh_token else _APP_SCOPE

    async def token(self) -> str:
        """Return an access token that is good for a while.

        Raises:
            Misconfigured: the provider gives none until somebody does what the message says.
            SendError: the provider cannot be reached, or is overloaded.
        """
        return await self._shared.get()

    def refuse(self, token: str) -> None:
        """Take note that the mail server does not accept `token`; the next one is new."""
        self._shared.refuse(token)

    @property
    def ends(self) -> datetime | None:
        """When the access will end unless somebody does something; None where that is not known."""
        known = [self._refresh.ends] if self._refresh is not None and self._refresh.ends is not None else []
        if self._config.ends is not None:
            known.append(_start(date.fromisoformat(self._config.ends)))
        return datetime.fromtimestamp(min(known), UTC) if known else None

    async def expiry(self) -> datetime | None:
        """Return `ends`, by what any node knows."""
        await self._recall()
        return self.ends

    async def watch(self) -> None:
        """Fetch tokens ahead of time and warn before an end, until cancelled.

        A login may last for days, in which nobody would notice that there is no next one.
        """
        while True:
            try:
                await self.token()
                self._warn(await self.expiry())
            except Misconfigured as exc:
                self._context.report(COMPONENT, str(exc))
            except (ConnectorError, OSError) as exc:
                self._context.log.warning("oauth_token_not_renewed", reason=str(exc))
            await asyncio.sleep(CHECK_SECS)

    def _warn(self, ends: datetime | None) -> None:
        if ends is None or ends.timestamp() - self._clock() > self._config.warn_days * DAY:
            self._context.report(COMPONENT, None)
            return
        self._context.report(
            COMPONENT, f"the access to the mailbox ends on {ends:%Y-%m-%d}: {_SIGN_IN}", expires_at=ends
        )

    async def _fetch(self) -> tuple[str, float]:
        config = self._config
        form = {"client_id": config.client_id, "grant_type": "client_credentials"}
        refresh = await self._recall()
        if refresh is not None:
            form |= {"grant_type": "refresh_token", "refresh_token": refresh.value}
        if config.client_secret is not None:
            form["client_secret"] = config.client_secret.reveal()
        if self._scope is not None:
            form["scope"] = self._scope
        answer = await call(
            self._context.http,
            "POST",
            config.url,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(form).encode(),
            timeout=TIMEOUT_SECS,
        )
        if not answer.ok:
            raise _failure(answer, tuple(form.values()))
        return await self._keep(answer, refresh)

    async def _keep(self, answer: Answer, refresh: Refresh | None) -> tuple[str, float]:
        try:
            got = msgspec.json.decode(answer.body, type=_Answered)
            secs = float(got.expires_in)
        except (msgspec.MsgspecError, ValueError):
            raise Misconfigured("the answer of `oauth.token_url` is no access token; check the address") from None
        now = self._clock()
        if refresh is not None:
            renewed = got.refresh_token is not None and got.refresh_token != refresh.value
            value = (got.refresh_token or "") if renewed else refresh.value
            since = now if renewed else refresh.since
            told = None if got.refresh_token_expires_in is None else now + got.refresh_token_expires_in
            self._refresh = Refresh(value, since, told or self._usual_end(since))
            await self._remember(self._refresh)
        return got.access_token, max(secs, 1.0)

    async def _remember(self, refresh: Refresh) -> None:
        if refresh == self._stored:
            return
        try:
            await self._memory.save(msgspec.json.encode(refresh))
            self._stored = refresh
        except OSError as exc:
            self._context.log.error("refresh_token_not_stored", reason=exc.strerror)  # noqa: TRY400 -- no bug of ours

    def _usual_end(self, since: float) -> float | None:
        days = self._config.lifetime_days
        if days is None and self._config.provider == "microsoft":
            days = _MICROSOFT_DAYS
        return None if days is None else since + days * DAY

    async def _recall(self) -> Refresh | None:
        """Return the refresh token in use: the youngest that any node has got, else the configured one."""
        configured = self._config.refresh_token
        if configured is None:
            return None
        known = [self._refresh] if self._refresh else []
        try:
            copies = await self._memory.load()
        except StateUnavailable:
            copies = []
        for copy in copies:
            try:
                known.append(msgspec.json.decode(copy, type=Refresh))
            except msgspec.MsgspecError:
                self._context.log.warning("stored_refresh_token_unreadable")
        first = Refresh(configured.reveal(), self._clock(), self._usual_end(self._clock()))
        self._refresh = max(known, key=lambda one: one.since, default=first)
        return self._refresh


def _start(day: date) -> float:
    return datetime.combine(day, midnight(), UTC).timestamp()


def _failure(answer: Answer, secrets: tuple[str, ...]) -> SendError:
    """Say what a refusal means, and what to do."""
    try:
        failed = msgspec.json.decode(answer.body, type=_Failed)
    except msgspec.MsgspecError:
        failed = _Failed()
    text = shorten(failed.error_description, secrets) or None
    if failed.error in _PASSING:
        return Unreachable("the token server is out of service for now", provider_code=failed.error, provider_text=text)
    if failed.error in _ADVICE:
        return Misconfigured(_ADVICE[failed.error], provider_code=failed.error, provider_text=text)
    return refusal(answer, hide=secrets) or Misconfigured("the token server refuses", provider_code=failed.error)
