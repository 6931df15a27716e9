"""Registered lines, against Kamailio as a PBX."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.secrets import Secret
from gateway.simulate.call_line import Line
from gateway.simulate.call_wiring import Wiring
from tests.servers.clock import faster
from tests.servers.kamailio import USERS, Kamailio
from tests.servers.process import wait_until
from tests.sip.line import running


@pytest.fixture
def pbx(tmp_path: Path) -> Iterator[Kamailio]:
    made = Kamailio(tmp_path / "pbx")
    yield made
    made.stop()


def registrar(pbx: Kamailio, user: str, **more: Any) -> dict[str, Any]:
    return {"uri": f"sip:127.0.0.1:{pbx.port}", "user": user, "password": Secret(USERS[user]), **more}


async def test_lines_register_are_called_and_call(tmp_path: Path, pbx: Kamailio) -> None:
    await asyncio.to_thread(pbx.registrar, expires=10)
    lines = {"registrar": registrar(pbx, "1001"), "registrars": {"sales": registrar(pbx, "1002")}}
    async with running(tmp_path, transcribe=False, **lines) as line:
        await line.wait(lambda: {"registrar:main", "registrar:sales"} <= set(line.reports), "registrations")
        probed = await line.connector.probe()
        assert probed["lines"] == {"main": "registered", "sales": "registered"}

        wiring = Wiring(user="1003", registrar=f"sip:127.0.0.1:{pbx.port}", password=USERS["1003"])
        rung: list[Any] = []
        async with Line(wiring, incoming=rung.append) as phone:
            await line.wait(lambda: phone.registrations, "the phone's registration")
            leg = await phone.dial(f"sip:1002@127.0.0.1:{pbx.port}")
            await leg.answered.wait()
            await leg.hang_up()
            assert (await line.until("call.offered"))["to"]["addresses"][0]["value"] == "1002@127.0.0.1"

            await line.ask("call.originate", to="1003", caller_name="Hot Line")
            await line.wait(lambda: rung, "the phone rings")
            await rung[0].ask("answer", code=200)
            call = (await line.until("call.answered", 2))["call_id"]
            await line.ask("call.hangup", call_id=call)
            await line.until("call.ended", 2)
        assert [line.reports[f"registrar:{name}"] for name in ("main", "sales")] == [None, None]
    assert pbx.contacts("1001") == []  # it left in order


async def test_a_registration_is_renewed_before_it_ends(tmp_path: Path, pbx: Kamailio) -> None:
    await asyncio.to_thread(pbx.registrar, expires=60)
    with faster(20) as start_clock:
        async with running(tmp_path, transcribe=False, registrar=registrar(pbx, "1001", expires_secs=60)) as line:
            start_clock()
            await line.wait(lambda: line.reports.get("registrar:main", "never") is None, "a registration")
            first = await asyncio.to_thread(pbx.requests, "1001")
            await asyncio.to_thread(
                wait_until, lambda: pbx.requests("1001") >= first + 4, timeout=20, what="two renewals, each challenged"
            )
            assert len(await asyncio.to_thread(pbx.contacts, "1001")) == 1


async def test_wrong_credentials_are_told_and_the_line_goes_on(tmp_path: Path, pbx: Kamailio) -> None:
    await asyncio.to_thread(pbx.registrar)
    wrong = registrar(pbx, "1001") | {"password": Secret("wrong")}
    async with running(tmp_path, transcribe=False, registrar=wrong) as line:
        await line.wait(lambda: line.reports.get("registrar:main"), "trouble")
        assert "401" in (line.reports["registrar:main"] or "")
        async with Line(Wiring()) as phone:
            leg = await phone.dial(f"sip:100@127.0.0.1:{line.port}")
            await leg.answered.wait()
            await leg.hang_up()


async def test_a_registrar_that_comes_back_is_registered_at_again(tmp_path: Path, pbx: Kamailio) -> None:
    uri = f"sip:127.0.0.1:{pbx.port};transport=tcp"  # where nobody listens is known at once
    options = {"registrar": registrar(pbx, "1001", retry_secs=1) | {"uri": uri}}
    async with running(tmp_path, transcribe=False, **options) as line:
        await line.wait(lambda: line.reports.get("registrar:main"), "trouble")
        await asyncio.to_thread(pbx.registrar)
        await line.wait(lambda: line.reports["registrar:main"] is None, "a registration")
        assert len(await asyncio.to_thread(pbx.contacts, "1001")) == 1
