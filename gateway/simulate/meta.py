"""What the simulators of Meta's channels have in common: signature, handshake, errors of the Graph API.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
https://developers.facebook.com/docs/graph-api/guides/error-handling
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any, TypeVar

from typing_extensions import override

from connectors.meta import MetaConfig
from gateway.simulate.api import Handshake, Request, Simulator, raw_post
from gateway.simulate.cloud import Answer, Call, Cloud, json_answer, route

SIGNATURE = "X-Hub-Signature-256"
MALFORMED = (
    b"this is not JSON",
    b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","val',
    b'{"object":7,"entry":{}}',
    b'{"object":"page","entry":[\xff\xfe]}',
    b'{"object":"instagram","entry":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
)
"""Not JSON, cut off, wrong types, invalid UTF-8, too deep."""

CODES = {
    401: (190, "Error validating access token: Session has expired"),
    429: (4, "(#4) Application request limit reached"),
    500: (2, "Service temporarily unavailable"),
    503: (2, "Service temporarily unavailable"),
}
JPEG = b"\xff\xd8\xff\xe0 a picture of the simulator"
DAYS_60 = 5_184_000

C = TypeVar("C", bound=MetaConfig)


class MetaSimulator(Simulator[C]):
    """Signs the body with the app's secret; nothing says when, so repetitions are deduplicated."""

    @override
    def sign(self, request: Request, now: float) -> Request:
        digest = hmac.new(self.options.app_secret.reveal().encode(), request.body, hashlib.sha256).hexdigest()
        return request.adding(headers={SIGNATURE: f"sha256={digest}"})

    @override
    def malformed(self, number: int) -> Request:
        return raw_post(MALFORMED[number % len(MALFORMED)])

    @override
    def handshake(self, now: float) -> Handshake:
        challenge = str(secrets.randbelow(10**10))
        token = self.options.verify_token.reveal()
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
        return Handshake(request=Request(method="GET", query=query), body=challenge.encode())


class GraphCloud(Cloud):
    """A part of the Graph API: credentials, errors, and what it tells of a token.

    Attributes:
        expires_at: when the token ends, Unix seconds; 0 is never.
        gone: recipients who cannot be written to.
        closed: recipients who wrote to us too long ago.
    """

    scopes: tuple[str, ...] = ()

    def __init__(self, options: Any = None, *, seed: int | None = None) -> None:
        """See `Cloud`."""
        super().__init__(options, seed=seed)
        self.expires_at = 0
        self.gone: set[str] = set()
        self.closed: set[str] = set()

    @override
    def refuse(self, call: Call) -> Answer | None:
        """Check the token of every call."""
        if isinstance(self.options, MetaConfig) and not secrets.compare_digest(
            call.bearer, self.options.access_token.reveal()
        ):
            return self.error(401)
        return None

    @override
    def error(self, status: int, text: str = "", *, retry_after: float | None = None) -> Answer:
        code, words = CODES.get(status, (1, "An unknown error occurred"))
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return fault(code, text or words, status=status, headers=headers)

    @route("GET", "/{version}/debug_token")
    def debug_token(self, call: Call) -> Answer:
        """https://developers.facebook.com/docs/graph-api/reference/debug_token."""
        options = self.options
        valid = not isinstance(options, MetaConfig) or call.query.get("input_token") == options.access_token.reveal()
        data = {
            "app_id": "670843887433847",
            "type": "SYSTEM_USER",
            "application": "Simulated app",
            "is_valid": valid,
            "expires_at": self.expires_at,
            "data_access_expires_at": int(time.time()) + DAYS_60,  # noqa: TID251 -- an answer
            "scopes": list(self.scopes),
            "granular_scopes": [{"scope": scope, "target_ids": ["102290129340398"]} for scope in self.scopes],
        }
        return json_answer({"data": data})


def fault(
    code: int,
    text: str,
    *,
    subcode: int | None = None,
    status: int = 400,
    details: str = "",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Write an error of the Graph API."""
    error: dict[str, Any] = {"message": text, "type": "OAuthException", "code": code, "fbtrace_id": "AbCdEf"}
    if subcode is not None:
        error["error_subcode"] = subcode
    if details:
        error["error_data"] = {"messaging_product": "whatsapp", "details": details}
    return json_answer({"error": error}, status, headers)
