"""Answers too large for memory: written piece by piece, as fast as the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest
from msgspec import Struct

log = structlog.get_logger(__name__)

STALL_SECS = 60.0
"""How long a client may take to read a piece."""


class Streamed(Struct, frozen=True, kw_only=True):
    """An answer whose body is a stream.

    Attributes:
        length: of the body, in bytes.
        pieces: the body.
        close: called at the end, also where nothing was read.
    """

    length: int
    pieces: AsyncGenerator[bytes, None]
    close: Callable[[], None]
    status: int = 200
    content_type: str
    headers: dict[str, str] = {}


async def send(request: BaseRequest, answer: Streamed) -> web.StreamResponse:
    """Write it; one that cannot be written to its end breaks the connection, so that nobody takes it for whole."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type, response.content_length = answer.content_type, answer.length
    try:
        await response.prepare(request)
        if request.method != "HEAD":
            await _write(response, answer.pieces)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as exc:  # noqa: BLE001 -- the status is sent: there is only one way left to tell
        log.error("answer_broken_off", reason=str(exc) or type(exc).__name__)  # noqa: TRY400 -- likewise
        response.force_close()
        if request.transport is not None:
            request.transport.abort()
    finally:
        answer.close()
    return response


async def _write(response: web.StreamResponse, body: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(body) as pieces:
        async for piece in pieces:
            async with asyncio.timeout(STALL_SECS):
                await response.write(piece)
