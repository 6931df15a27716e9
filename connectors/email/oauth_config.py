"""Options of `oauth`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from connectors.api import Positive
from connectors.secrets import Secret

TOKEN_URLS = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
}
"""https://developers.google.com/identity/protocols/oauth2/web-server#offline,
https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow"""


class OAuthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`oauth`: access tokens for a mailbox.

    With a `refresh_token` somebody has signed in once; a new refresh token that comes with an access token
    (Microsoft gives one each time) is kept and used from then on. Without one the application signs in for itself
    (client credentials), which Microsoft 365 allows an application that has been given the mailbox.

    Attributes:
        provider: ``google`` or ``microsoft``, which know their `token_url` and `scope`.
        token_url: where tokens are given out; needed without `provider`.
        client_id: of the registered application.
        client_secret: of the application, where it has one.
        refresh_token: from the sign-in.
        tenant: of Microsoft: directory id or domain; client credentials need it.
        scope: what to ask for, if not what the provider's mailboxes need.
        lifetime_days: how long a refresh token lives, for a warning before it ends; default 90 for Microsoft
            (https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens), else what the provider says.
        ends: the day on which the client secret or the refresh token ends for certain.
        warn_days: how long before an end `channel.status` becomes ``degraded``.
    """

    provider: Literal["google", "microsoft"] | None = None
    token_url: str | None = None
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    tenant: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]+$")] = "common"
    scope: str | None = None
    lifetime_days: Positive | None = None
    ends: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="a day such as 2027-05-31")] | None = None
    warn_days: Positive = 14

    def __post_init__(self) -> None:
        """Check what one field says about another."""
        if self.provider is None and self.token_url is None:
            raise ValueError("`oauth` needs `provider`, or `token_url` for any other")
        if self.token_url is not None and not self.token_url.startswith(
            ("https://", "http://127.0.0.1", "http://[::1]")
        ):
            raise ValueError("`token_url` must begin with https://, because secrets are sent there")
        if self.refresh_token is None and self.client_secret is None:
            raise ValueError("`oauth` needs a `refresh_token`, or a `client_secret` to sign in for itself")
        if self.refresh_token is None and self.provider == "microsoft" and self.tenant == "common":
            raise ValueError("`oauth` needs the `tenant` where the application signs in for itself")
        if self.refresh_token is None and self.provider == "google":
            raise ValueError("`oauth` needs a `refresh_token` for Google")

        if self.ends is not None:
            try:
                date.fromisoformat(self.ends)
            except ValueError:
                raise ValueError(f"`ends` is {self.ends!r}, which is no day of the calendar") from None

    @property
    def url(self) -> str:
        """Where tokens are given out."""
        return self.token_url or TOKEN_URLS[self.provider or ""].format(tenant=self.tenant)
