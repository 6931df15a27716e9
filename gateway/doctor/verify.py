"""`channel.verify`: everything that can be tried without sending anybody a message."""

from __future__ import annotations

import asyncio

from connectors.api import HttpConnector
from connectors.errors import StateUnavailable
from connectors.registry import capabilities_of
from gateway.core import Core
from gateway.doctor.address import look
from gateway.doctor.links import needs_links, try_link
from gateway.doctor.marks import Marks
from gateway.doctor.mirror import Face, Mirror
from gateway.doctor.provider import Asking, examine
from gateway.running import Running
from gateway.state import ChannelState
from normalizer.checks import Check, Verification, verification


def asking(core: Core, face: Face, running: Running) -> Asking:
    """Say how this channel's provider is asked."""
    http = isinstance(running.connector, HttpConnector) and face.public_url is not None
    url = face.url(running.channel.id) if http else None
    return Asking(url=url, days=core.settings.doctor.expiry_days, clock=core.clock)


async def verify(core: Core, face: Face, running: Running) -> Verification:
    """Look at one channel from both sides; raises nothing."""
    async with asyncio.TaskGroup() as group:
        provider = group.create_task(examine(running.connector, asking(core, face, running)))
        inward = group.create_task(_inward(core, face, running))
    examined = provider.result()
    checks = (_running(running), *examined.checks, *inward.result())
    return verification(running.channel.id, checks, examined.told)


def _running(running: Running) -> Check:
    if running.paused:
        hint = f'omnigate call channel.resume \'{{"channel": "{running.channel.id}"}}\''
        return Check(name="running", ok=False, detail="the channel is paused", hint=hint)
    detail = running.error or "the channel takes deliveries"
    return Check(name="running", ok=running.state != "down", detail=detail)


async def _inward(core: Core, face: Face, running: Running) -> list[Check]:
    """Try the way in, where it is by HTTP."""
    if not isinstance(running.connector, HttpConnector):
        return []
    channel = running.channel
    looked = await look(face, days=core.settings.doctor.expiry_days)
    found = list(looked.checks)
    mirror = Mirror(face, channel.id, channel.kind, channel.options, Marks(ChannelState(core.dedup, channel.id)))
    try:
        found += [check async for check in mirror.checks(reachable=looked.reachable)]
    except StateUnavailable:
        detail = "the dedup store does not answer, so no delivery can be tried"
        found.append(Check(name="webhook", ok=None, detail=detail))
    if needs_links(running.connector, capabilities_of(channel.kind, running.connector)):
        found.append(await try_link(face, core.blobs, core.link))
    return found
