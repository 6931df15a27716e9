"""What every kind of channel owes the doctor: a channel that works is found sound, and one that does not says why.

The gateway is the real one, with the real public port; the kind's simulator plays the provider on both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog

from gateway import telemetry
from gateway.channels import Channels
from gateway.core import open_core
from gateway.doctor.service import Doctor
from gateway.settings.load import load
from gateway.simulate import registry as simulators
from gateway.simulate.cloud import Cloud
from gateway.supervisor import Supervisor
from gateway.web.public import PublicServer
from normalizer.checks import Check, Verification
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import SIMULATED, SPECS, bases_of, channel_of

HEAD = """
[gateway]
node = "clinic"
data_dir = "{folder}/var"
[http]
listen = "127.0.0.1:0"
[channels]
{channel} = {options}
"""
simulated = pytest.mark.parametrize("kind", SIMULATED)
Checks = dict[str, Check]


class Clinic:
    """A gateway with one channel of a kind.

    Attributes:
        cloud: the provider.
    """

    def __init__(self, kind: str, doctor: Doctor, cloud: Cloud) -> None:
        self.kind, self.cloud, self._doctor = kind, cloud, doctor

    async def verify(self) -> tuple[Verification, Checks]:
        """Verify, and check that nobody got a message by it and no secret shows."""
        before = self._book()
        with structlog.testing.capture_logs() as lines:
            found = await self._doctor.verify(channel_of(self.kind))
        after = self._book()
        told = msgspec.json.encode(found).decode() + str(lines)

        assert after["published"] == before["published"]
        assert after["quarantined"] == before["quarantined"]
        assert after["received"] - before["received"] == after["ignored"] - before["ignored"]
        assert [secret for secret in fixtures.folder(self.kind).secrets.values() if secret in told] == []
        assert all(check.detail for check in found.checks)
        assert all(check.hint or check.detail for check in found.checks if check.ok is False)
        return found, {check.name: check for check in found.checks}

    def _book(self) -> dict[str, int]:
        return telemetry.ledger()[channel_of(self.kind)]


@asynccontextmanager
async def clinic(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clinic]:
    """Run a channel of a kind, with its provider's cloud side behind it."""
    async with AsyncExitStack() as stack:
        made = fixtures.folder(kind)
        options = fixtures.build_options(kind, folder, monkeypatch)
        cloud = await stack.enter_async_context((simulators.cloud_of(kind) or Cloud)(options))
        known = SPECS[kind].config.__struct_fields__
        bases = {name: cloud.url + path for name, path in bases_of(kind).items() if name in known}
        table = fixtures._toml({**made.options, "kind": kind, **bases})
        path = folder / "omnigate.toml"
        path.write_text(HEAD.format(folder=folder, channel=channel_of(kind), options=table))
        settings = load(path).settings
        core = await stack.enter_async_context(open_core(settings, worker=0))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        supervisor = Supervisor(group)
        channels = Channels(core, supervisor, sends=True)
        public = PublicServer(settings.http, channels.endpoints, {})
        supervisor.start("broker", core.broker.run)
        supervisor.start("pipeline", core.pipeline.run)
        assert await core.broker.wait_ready(10)
        await channels.start(settings)
        await public.start()
        try:
            yield Clinic(kind, Doctor(core, channels, public.address), cloud)
        finally:
            await public.close(0.1)
            await channels.stop()
            await supervisor.stop_all()


@simulated
async def test_the_doctor_finds_a_channel_sound_that_its_provider_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with clinic(kind, tmp_path, monkeypatch) as it:
        found, checks = await it.verify()

    assert found.ok, [check for check in found.checks if check.ok is False]
    assert checks["signature"].ok is True
    assert checks["running"].ok is True
    assert {"credentials", "public_url", "handshake", "webhook"} <= checks.keys()
    assert checks["credentials"].ok is (True if hasattr(SPECS[kind].build, "probe") else None)
    assert "clock" in checks or checks["credentials"].ok is None


@simulated
async def test_the_doctor_says_that_credentials_are_refused_and_shows_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async with clinic(kind, tmp_path, monkeypatch) as it:
        echoed = " ".join(fixtures.folder(kind).secrets.values())
        refusal = it.cloud.error(401, f"these are wrong: {echoed}")
        it.cloud.fail_next(refusal, times=20)
        found, checks = await it.verify()

    if hasattr(SPECS[kind].build, "probe"):
        assert not found.ok
        assert checks["credentials"].ok is False
        assert checks["credentials"].hint
    assert checks["signature"].ok is True
