"""A telephone line: the kind ``sip``."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from connectors.api import Capabilities, Context, Sent, Sink
from connectors.errors import Misconfigured
from connectors.prompts import Prompts
from connectors.registry import connector
from connectors.sip.commands import Commands
from connectors.sip.config import INSTALL, SipConfig
from connectors.sip.journal import SEEN_SECS, Journal
from connectors.sip.kit import Kit
from connectors.sip.pool import Pool
from connectors.sip.recovery import recover
from connectors.sip.switchboard import Switchboard
from connectors.sip.taping import Taping
from normalizer import rpc
from normalizer.call_requests import CALL_REQUESTS
from normalizer.calls import CALL_NOTIFICATIONS
from normalizer.codecs.sip import SipCodec
from normalizer.errors import Unsendable
from normalizer.params import Params
from normalizer.raw import Outbound
from normalizer.rpc import RpcError

LAST_SECS = 20.0
"""How long the last events of calls may take when the channel stops; what is not told then, the next start tells."""

STORING_SECS = 5.0
"""How long the last recordings may take to be stored and told when the channel stops; likewise."""

CAPABILITIES = Capabilities(
    receives=tuple(CALL_NOTIFICATIONS),
    requests=tuple(CALL_REQUESTS),
    notes=(
        "calls are answered by `answer`: at once, by call.answer, or by the voice mail",
        "call.transcript.partial is lost easily and replaced by the next; all others are durable",
        "TLS 1.2 at best with PyPI's build of pjsua2, and four calls per process",
    ),
)


@connector("sip", SipConfig, CAPABILITIES)
class SipChannel:
    """Telephony by SIP: calls are answered, recorded, transcribed and steered."""

    def __init__(
        self, config: SipConfig, context: Context, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Prepare; `run` starts the processes that have PJSIP in them."""
        self._config, self._context, self._now = config, context, now
        self.codec = SipCodec()
        self._commands: Commands | None = None
        self._board: Switchboard | None = None
        self._pool: Pool | None = None
        self._taping: Taping | None = None
        self._dismissed = False

    async def run(self, sink: Sink) -> None:
        """Take calls until cancelled; those that go on then are hung up.

        Only one process of a node does; the others wait. Without pjsua2 the channel is down, and says so once.

        Raises:
            Misconfigured: an address or a certificate cannot be used.
        """
        if not self._context.primary:
            await asyncio.Event().wait()
        if find_spec("pjsua2") is None:
            self._context.log.error("pjsua2_missing", hint=INSTALL)
            self._context.report("sip", INSTALL, down=True)
            await asyncio.Event().wait()
        journal = Journal(self._context.data_dir / "sip", self._context.channel.id)
        try:
            await journal.open()
            await self._serve(journal, sink)
        except sqlite3.Error as exc:
            raise Misconfigured(f"the list of calls in progress cannot be used: {exc}") from exc
        except BaseExceptionGroup as exc:
            raise _first(exc) from None
        finally:
            await journal.close()

    async def _serve(self, journal: Journal, sink: Sink) -> None:
        context, config = self._context, self._config
        kit = Kit(
            config=config,
            context=context,
            prompts=Prompts(context, config.prompts),
            taping=Taping(context, config.recording, self._now),
            now=self._now,
        )
        self._taping = kit.taping
        board = Switchboard(kit, journal, sink)
        pool = Pool(config, board, context.log)
        async with asyncio.TaskGroup() as outer:
            board.begin(outer, starting=pool.started, occupied=pool.changed)
            taping = outer.create_task(kit.taping.run())
            outer.create_task(self._warm(kit.prompts))
            await recover(journal, kit, sink, kit.taping.left)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(pool.run(lambda part, reason: context.report(part, reason, down=part == "sip")))
                    group.create_task(self._note(board, journal))
                    self._board, self._pool, self._commands = board, pool, Commands(kit, board, pool)
                    if self._dismissed:
                        pool.drain(on=True)
                    try:
                        await asyncio.Event().wait()
                    finally:
                        self._board = self._pool = self._commands = None
                        board.end_all("gateway_stopped", "note")
            finally:
                if not await board.empty(LAST_SECS):
                    context.log.warning("calls_untold", calls=len(board.calls))
                await kit.taping.settled(STORING_SECS)
                taping.cancel()

    async def _warm(self, prompts: Prompts) -> None:
        """Decode the prompts before somebody waits for one; the doctor hears of those that cannot be played."""
        wrong = await prompts.warm()
        self._context.report("prompts", "; ".join(wrong.values()) or None)

    async def _note(self, board: Switchboard, journal: Journal) -> None:
        while True:
            await asyncio.sleep(SEEN_SECS)
            await journal.seen([call.id for call in board.all()], self._now())

    def dismiss(self) -> None:
        """See `Dismissible`: new calls are answered 503 with Retry-After, and OPTIONS 503, from now on."""
        self._dismissed = True
        if self._pool is not None:
            self._pool.drain(on=True)

    async def drained(self) -> None:
        """See `Draining`: wait until the calls have ended, at most for `drain_secs`; then hang up."""
        board = self._board
        if board is None or await board.empty(self._config.drain_secs):
            return
        self._context.log.warning("calls_cut_off", calls=len(board.all()))
        board.end_all("gateway_stopped", "hang up")
        await board.empty(LAST_SECS)

    @property
    def active_calls(self) -> int:
        """See `Calling`."""
        return 0 if self._board is None else len(self._board.all())

    @property
    def parked_recordings(self) -> int:
        """See `Calling`."""
        return 0 if self._taping is None else self._taping.parked

    async def send(self, message: Outbound) -> Sent:
        """Refuse: a telephone line takes no messages; `call.play` says something."""
        raise Unsendable(str(message.parts[0].__struct_config__.tag) if message.parts else "text", ())

    async def perform(self, method: str, params: Params) -> dict[str, Any]:
        """See `Performer`; the requests are those of `normalizer.call_requests`."""
        if self._commands is None:
            raise RpcError(rpc.BUSY, "the channel is not up", retry_after=1.0)
        return await self._commands.perform(method, params)

    async def probe(self) -> dict[str, Any]:
        """See `Prober`: what is listened on, and how the lines are registered. Raises `Misconfigured`."""
        if find_spec("pjsua2") is None:
            raise Misconfigured(INSTALL)
        pool, board = self._pool, self._board
        return {
            "listen": self._config.listen,
            "processes": [{"ports": one.ports, "calls": len(one.calls), "most": one.most} for one in pool or ()],
            "lines": dict(board.lines) if board else {},
        }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what failed first, without the wrapping."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
