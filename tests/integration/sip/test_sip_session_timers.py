"""What takes minutes, at fifteen times its speed: session timers (RFC 4028), callers who do not acknowledge."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.servers.clock import faster
from tests.servers.process import wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios
from tests.sip.agent import Agent
from tests.sip.line import running

SPEED = 15
CALLERS = {
    "we refresh": scenarios.GATEWAY_REFRESHES,
    "we refresh by INVITE": scenarios.GATEWAY_REFRESHES_BY_INVITE,
    "we refresh in vain": scenarios.GATEWAY_REFRESHES_IN_VAIN,
    "he refreshes, then no more": scenarios.CALLER_REFRESHES,
}


async def test_a_session_lasts_as_long_as_it_is_refreshed(tmp_path: Path) -> None:
    with faster(SPEED) as start_clock:
        async with running(tmp_path, transcribe=False, rtp_timeout_secs=0) as line:
            start_clock()
            runs = {
                name: Sipp(tmp_path, scenario).start(line.port, pause_ms=22_500 // SPEED)
                for name, scenario in CALLERS.items()
            }
            sources = {f"127.0.0.1:{one.port}": name for name, one in runs.items()}
            outcomes = [await asyncio.to_thread(one.wait) for one in runs.values()]
            assert [(one.code, one.log) for one in outcomes] == [(0, "")] * len(runs)
            await line.until("call.ended", len(runs))

    names = {one["call_id"]: sources[one["source"]] for one in line.told("call.offered")}
    ends = {names[one["call_id"]]: (one["reason"], one["by"], one["code"]) for one in line.told("call.ended")}
    assert ends == {
        "we refresh": ("completed", "remote", 200),
        "we refresh by INVITE": ("completed", "remote", 200),
        "we refresh in vain": ("failed", "gateway", 481),
        "he refreshes, then no more": ("session_timeout", "gateway", 408),
    }


async def test_who_never_acknowledges_the_answer_has_a_place_for_a_minute(tmp_path: Path) -> None:
    with faster(SPEED) as start_clock:
        async with running(tmp_path, transcribe=False, max_calls=1) as line:
            start_clock()
            with Agent(line.port) as silent, Agent(line.port) as agent:
                silent.send(silent.message())
                ended = await line.until("call.ended")
                assert (ended["reason"], ended["by"], ended.get("answered", False)) == (
                    "session_timeout",
                    "gateway",
                    False,
                )

                def is_taken() -> bool:
                    agent.send(agent.message())
                    answers = agent.answers(0.3)
                    agent.hang_up(answers)
                    return any(one.startswith(b"SIP/2.0 200") for one in answers)

                await asyncio.to_thread(wait_until, is_taken, timeout=20, what="room for another")
