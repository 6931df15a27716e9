"""From the option `verify` to a function that checks deliveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from connectors.api import Delivery
from connectors.declarative_options import (
    PLACEHOLDER,
    BasicVerify,
    HmacVerify,
    NoVerify,
    TokenVerify,
    Verify,
    key_bytes,
)
from connectors.errors import Unauthorized
from connectors.signatures import check_basic, check_hmac, check_timestamp, check_token

Check = Callable[[Delivery], None]
"""Raises `Unauthorized`."""

Verified = Literal["hmac", "token", "basic", "none"]


def verifier(options: Verify | None, clock: Callable[[], float]) -> tuple[Check, Verified]:
    """Build the check, and name it for `security.verified`.

    Args:
        options: as configured; None refuses every delivery.
        clock: Unix time, for signed timestamps.
    """
    match options:
        case HmacVerify():
            return _hmac(options, clock), "hmac"
        case TokenVerify():
            return _token(options), "token"
        case BasicVerify(user=user, password=password):
            return lambda delivery: check_basic(delivery.headers.get("authorization"), user, password.reveal()), "basic"
        case NoVerify():
            return lambda _: None, "none"
        case None:
            return _refuse, "none"


def _refuse(_: Delivery) -> None:
    raise Unauthorized("this channel only sends")


def _token(options: TokenVerify) -> Check:
    header = options.header.lower()
    words = [secret.reveal() for secret in (options.secret, options.previous) if secret is not None]

    def check(delivery: Delivery) -> None:
        given = delivery.headers.get(header, "")
        check_token(given.removeprefix(options.prefix) if given.startswith(options.prefix) else None, *words)

    return check


def _hmac(options: HmacVerify, clock: Callable[[], float]) -> Check:
    header = options.header.lower()
    keys = [key_bytes(key, options.secret_encoding) for key in (options.secret, options.previous) if key is not None]
    pieces = PLACEHOLDER.split(options.payload)

    def check(delivery: Delivery) -> None:
        time = _timestamp(options, delivery)
        payload = b"".join(
            _signed(piece, delivery, time or "") if index % 2 else piece.encode() for index, piece in enumerate(pieces)
        )
        check_hmac(
            delivery.headers.get(header),
            payload,
            *keys,
            algorithm=options.algorithm,
            encoding=options.encoding,
            prefix=options.prefix,
        )
        if options.timestamp_header is not None:
            check_timestamp(time, clock(), max_age_secs=options.max_age_secs)

    return check


def _timestamp(options: HmacVerify, delivery: Delivery) -> str | None:
    """Read the time as it was signed; where it shares a header with signatures, by its prefix."""
    if options.timestamp_header is None:
        return None
    value = delivery.headers.get(options.timestamp_header.lower(), "")
    if not options.timestamp_prefix:
        return value
    found = [part for part in value.replace(" ", "").split(",") if part.startswith(options.timestamp_prefix)]
    return found[0].removeprefix(options.timestamp_prefix) if found else None


def _signed(name: str, delivery: Delivery, time: str) -> bytes:
    match name:
        case "body":
            return delivery.body
        case "timestamp":
            return time.encode("utf-8", "surrogatepass")
        case "url":
            return delivery.url.encode()
        case "method":
            return delivery.method.encode()
        case _:
            value = delivery.headers.get(name.removeprefix("header.").lower(), "")
            return value.encode("utf-8", "surrogatepass")
