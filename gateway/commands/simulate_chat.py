"""`omnigate simulate chat`: visitors of a web chat."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.commands.console import Config, Failure
from gateway.commands.target import choose, web_url
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate.chat import ChatReport, Visits, visit
from gateway.simulate.report import Bar, summarize

EPILOGUE = """\
Visitors speak the protocol of connectors/chat/PROTOCOL.md and keep its
rules: they send again until they are answered, resume where they were, and
count what breaks a promise.

    omnigate simulate chat --text "Where is my parcel?" --stay 60
    omnigate simulate chat --count 500 --messages 20 --rate 200 --cut 0.1
    omnigate simulate chat --poll --count 50 --messages 5
"""
ALL = Visits()

app = App(name="chat", help_format="plaintext", help_epilogue=EPILOGUE)


@app.default
def chat(
    visits: Annotated[Visits, Parameter(name="*")] = ALL,
    *,
    config: Config = None,
    channel: str | None = None,
    url: str | None = None,
    origin: str | None = None,
) -> int:
    """Let visitors come to a web chat of a running gateway.

    Args:
        visits: who comes, and what he does.
        config: the configuration.
        channel: id of the channel; not needed when there is only one of kind chat.
        url: where the gateway's web server is, such as http://127.0.0.1:8080; by default as configured.
        origin: the page the visitors' browsers say they are on, such as https://shop.example.
    """
    settings = load(find(config)).settings
    chosen = choose(settings, "chat", channel)
    if min(visits.count, visits.messages, visits.attempts) < 1 or min(visits.rate, visits.stay) < 0:
        raise Failure("there must be at least one visitor with one message and one attempt, and no negative numbers")
    target = f"{(url or web_url(settings)).rstrip('/')}/chat/{chosen.id}"
    with Bar(visits.count * visits.messages) as progress:
        report = asyncio.run(visit(target, visits, origin=origin, progress=progress))
    return _tell(report)


def _tell(report: ChatReport) -> int:
    more: dict[str, Any] = {"heard": report.heard, "resumed": report.resumed, "wrong": report.wrong}
    sys.stdout.write(summarize(report, more) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == report.wrong == 0 else 1
