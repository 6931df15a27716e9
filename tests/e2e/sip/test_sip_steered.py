"""Calls steered by a core through JSON-RPC: early media, transfer from one telephone to another, calls that we make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.servers.phone import Phone, heard, over, up
from tests.servers.process import wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios, sound
from tests.sip.exchange import Exchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PROMPT = sound.sweep(2.0, seed=6)


@pytest.fixture(scope="module")
def exchange(make_exchange: Callable[..., Exchange], tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """A line where the core decides."""
    prompt = sound.write(tmp_path_factory.mktemp("prompts") / "prompt.wav", PROMPT)
    return make_exchange(answer='"core"', prompts=f'{{ hello = "{prompt}" }}', record="true", transcribe="false")


def ask(exchange: Exchange, method: str, **params: object) -> dict[str, object]:
    """Ask until the gateway's queue of commands is there; returns the result."""
    answers: list[dict[str, object]] = []

    def answered() -> bool:
        answers.append(exchange.ask(method, **params))
        return answers[-1].get("error", {}).get("code") not in {-32001, -32012}  # type: ignore[attr-defined]

    wait_until(answered, timeout=20, what="a command queue")
    assert "result" in answers[-1], answers[-1]
    found: dict[str, object] = answers[-1]["result"]  # type: ignore[assignment]
    return found


def test_something_is_said_before_the_call_is_answered(exchange: Exchange, make_sipp: Callable[..., Sipp]) -> None:
    caller = make_sipp(scenarios.EARLY_MEDIA).start(exchange.port, pause_ms=300)
    call = exchange.of(caller.port)
    ask(exchange, "call.answer", call_id=call, early_media=True, play="hello")
    exchange.wait_for(lambda: [one for one in exchange.told("call.ringing", call) if one.get("early_media")])
    ask(exchange, "call.answer", call_id=call)
    outcome = caller.wait()
    assert outcome.code == 0, outcome.log
    assert exchange.wait("call.answered", call)["by"] == "core"


async def test_a_caller_is_handed_over_to_another_telephone(exchange: Exchange) -> None:
    async with Phone(refer=True, user="ada") as ada, Phone(user="bob") as bob:
        leg = await ada.dial(f"sip:100@127.0.0.1:{exchange.port}")
        call = await asyncio.to_thread(exchange.of, ada.ports["udp"])
        await asyncio.to_thread(ask, exchange, "call.answer", call_id=call)
        await up(leg)
        await asyncio.to_thread(ask, exchange, "call.transfer", call_id=call, to=bob.uri)
        taken = await bob.next_call()
        await up(taken)
        told = await asyncio.to_thread(exchange.wait, "call.transferred", call)
        assert (told["ok"], told["code"], told.get("attended", False)) == (True, 200, False)
        assert (await asyncio.to_thread(exchange.wait, "call.ended", call))["reason"] == "transferred"
        assert taken.state == "up", "the two go on without us"


async def test_a_call_of_ours_is_made_and_what_we_play_is_heard(exchange: Exchange) -> None:
    async with Phone() as phone:
        made = await asyncio.to_thread(ask, exchange, "call.originate", to=phone.uri, play="hello", ref="r-1")
        leg = await phone.next_call()
        call = str(made["call_id"])
        offered = await asyncio.to_thread(exchange.wait, "call.offered", call)
        assert (offered["direction"], offered["ref"]) == ("out", "r-1")
        assert (await asyncio.to_thread(exchange.wait, "call.answered", call))["by"] == "remote"
        # then keys: they are sent in the place of sound
        await asyncio.to_thread(
            wait_until,
            lambda: not sound.lost(PROMPT[4000:], heard(leg)),
            timeout=20,
            what="the prompt is heard",
        )
        await asyncio.to_thread(ask, exchange, "call.send_dtmf", call_id=call, digits="42")
        await asyncio.to_thread(wait_until, lambda: len(leg.digits) == 2, timeout=20, what="two keys")
        await asyncio.to_thread(ask, exchange, "call.hangup", call_id=call)
        await over(leg)
    assert "".join(digit for digit, _ in leg.digits) == "42"
    assert (await asyncio.to_thread(exchange.wait, "call.ended", call))["by"] == "core"
