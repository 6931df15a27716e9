"""HTTP towards providers: one way to call, one way to say what went wrong.

Error texts name the host and the kind of fault, never the URL: a URL may carry a token (Telegram's does), and
aiohttp puts it into its own messages. For the same reason its exceptions are not chained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from connectors.errors import Misconfigured, Refused, SendError, Throttled, Unreachable

T = TypeVar("T")

ANSWER_BYTES = 1_048_576
"""Answers of an API are a few kilobytes; more is a mistake or an attack."""

TEXT_CHARS = 200
MISCONFIGURED = frozenset({401, 402, 403, 407})
TRANSIENT = frozenset({408, 425})


class TooLarge(Refused):
    """The answer, or the media item, is larger than allowed."""

    code = "too_large"


class Answer(Struct, frozen=True, kw_only=True):
    """What a provider answered.

    Attributes:
        headers: looked up without regard to case.
        body: complete, within the size limit.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300


onlooker: ContextVar[Callable[[Answer], None] | None] = ContextVar("onlooker", default=None)
"""Is shown every answer to the calls of this context: the doctor compares the provider's clock with ours."""


async def call(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float,  # noqa: ASYNC109 -- of the whole exchange, body included
    max_bytes: int = ANSWER_BYTES,
) -> Answer:
    """Perform one request; redirects are not followed.

    Args:
        session: the shared client.
        method: the HTTP method.
        url: absolute; may carry a token.
        headers: request headers.
        body: request body.
        timeout: seconds for the whole exchange.
        max_bytes: the largest answer, after decompression.

    Raises:
        Unreachable: no complete answer.
        TooLarge: the answer is larger than `max_bytes`.
        Misconfigured: `url` is none.
    """
    try:
        async with session.request(
            method,
            url,
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            content = await _read(response, max_bytes)
            answer = Answer(status=response.status, headers=response.headers, body=content)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise Misconfigured("the provider's address is not a URL with http or https; check api_base") from None
    except TimeoutError:
        raise Unreachable(f"{_host(url)} did not answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as exc:
        raise Unreachable(f"{_host(url)} cannot be reached: {_fault(exc)}") from None
    look = onlooker.get()
    if look is not None:
        look(answer)
    return answer


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if (response.content_length or 0) > max_bytes:
        raise TooLarge(f"the answer is larger than {max_bytes} bytes")
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > max_bytes:
            raise TooLarge(f"the answer is larger than {max_bytes} bytes")
    return bytes(content)


def _host(url: str) -> str:
    try:
        return URL(url).host or "the provider"
    except ValueError:
        return "the provider"


def _fault(exc: Exception) -> str:
    reason = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    return getattr(reason, "strerror", None) or type(reason).__name__


def refusal(answer: Answer, *, hide: tuple[str, ...] = (), clock: Callable[[], float] = time.time) -> SendError | None:  # noqa: TID251
    """Classify an answer by its status (RFC 9110, section 15); None when it is 2xx.

    Args:
        answer: what the provider answered.
        hide: secrets that the provider may echo.
        clock: Unix time, against which a `Retry-After` date is read when the answer carries no `Date`.
    """
    if answer.ok:
        return None
    status, text = answer.status, shorten(answer.body, hide)
    message, code = f"the provider answered HTTP {status}", str(status)
    wait = retry_after(answer.headers, clock)
    if status == 429 or (status == 503 and wait is not None):
        return Throttled(message, retry_after=wait, provider_text=text)
    if status >= 500 or status in TRANSIENT:
        return Unreachable(message, provider_code=code, provider_text=text)
    if status < 400:
        return Misconfigured(f"{message}, a redirect; check api_base", provider_code=code)
    kind = Misconfigured if status in MISCONFIGURED else Refused
    return kind(message, provider_code=code, provider_text=text)


def decoded(answer: Answer, shape: type[T], whose: str) -> T:
    """Read a success; raises `Unreachable` if it is something else than `whose` API documents."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Unreachable(f"{whose} answered with something else than it documents; check api_base") from None


def shorten(text: bytes | str, hide: tuple[str, ...] = ()) -> str:
    """Make a provider's words fit for an error: one line, at most 200 characters, without our secrets."""
    words = text[:65_536].decode("utf-8", "replace") if isinstance(text, bytes) else text
    for secret in hide:
        words = words.replace(secret, "<secret>") if secret else words
    line = " ".join("".join(char if char.isprintable() else " " for char in words[: 4 * TEXT_CHARS]).split())
    return line if len(line) <= TEXT_CHARS else line[: TEXT_CHARS - 1] + "…"


def retry_after(headers: Mapping[str, str], clock: Callable[[], float] = time.time) -> float | None:  # noqa: TID251
    """Read `Retry-After` (RFC 9110, section 10.2.3: seconds or a date) as seconds from now; None when there is none."""
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        then = _timestamp(value)
        now = _timestamp(headers.get("Date", ""))
        if then is None:
            return None
        seconds = then - (clock() if now is None else now)
    return max(seconds, 0.0) if isfinite(seconds) else None


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
