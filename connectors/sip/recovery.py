"""What a process that was killed left: its calls ended, and are told to have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connectors.api import Sink
from connectors.sip.call import since
from connectors.sip.journal import Entry, Journal
from connectors.sip.kit import Kit
from connectors.sip.outbox import Outbox
from normalizer.model import Security


async def recover(journal: Journal, kit: Kit, sink: Sink, recorded: Callable[[str], bool]) -> None:
    """Tell `call.ended` of every call that is written down, with the reason ``gateway_failure``.

    The call is taken to have ended when it was last seen (`journal.SEEN_SECS`). One whose end had been told and not yet
    been taken off has the same dedup key, and is not told twice.
    """
    for call, entry, seen in await journal.left():
        outbox = Outbox(
            entry.told,
            channel=kit.context.channel,
            security=Security(verified="none"),
            sink=sink,
            log=kit.context.log,
        )
        outbox.tell("call.ended", seen, _fields(entry, seen, recorded=recorded(call)))
        outbox.close()
        await outbox.run()
        await journal.remove(call)
        kit.context.log.warning("call_was_cut", call=call)


def _fields(entry: Entry, seen: datetime, *, recorded: bool) -> dict[str, object]:
    return {
        "reason": "gateway_failure",
        "by": "gateway",
        "ring_ms": since(entry.offered_at, entry.answered_at or seen),
        "talk_ms": since(entry.answered_at, seen),
        "recorded": recorded,
        "answered": entry.answered_at is not None,
    }
