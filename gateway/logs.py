"""structlog set up once: console on a terminal, JSON lines elsewhere, nothing a customer wrote and no secret.

Normal operation is silent above debug; edges (a channel down, the spool in use, a reload) are one line each.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from gateway.settings.model import LogSection

FORBIDDEN = frozenset({"text", "body", "subject", "payload", "token", "secret", "password", "authorization", "raw"})
"""Keys whose values are never shown, whoever logs them."""


# Local variables of a traceback would show what customers wrote.
_exceptions = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of forbidden keys (a structlog processor)."""
    for key in event:
        if key in FORBIDDEN:
            event[key] = "<redacted>"
    return event


def configure(section: LogSection, *, node: str, worker: int | None = None) -> None:
    """Send structlog and the standard library's logging through the same processors to stderr."""
    console = section.format == "console" or (section.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    render: list[Any] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_exceptions, structlog.processors.JSONRenderer()]
    )
    level = getattr(logging, section.level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries tell their retries and frames at info; they are ours to tell.
    for name in ("aiohttp.access", "mail.log", "asyncio", "watchfiles"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in ("aiormq", "aio_pika"):  # log what they also raise, with tracebacks; the broker says it in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(node=node, **({} if worker is None else {"worker": worker}))
