"""What one channel is given of the parts that all share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from connectors.api import Connector, Context
from connectors.report import Report
from gateway import telemetry
from gateway.broker.api import Broker, Outcome, Publication
from gateway.core import Core
from gateway.envelope import fleeting
from gateway.feeds import ChannelFeeds
from gateway.intake import Intake
from gateway.order import Statuses
from gateway.outbound import Extras, Outbound
from gateway.settings.model import Channel
from gateway.state import ChannelState
from normalizer.model import ChannelRef
from normalizer.raw import Event


def context_of(
    core: Core,
    channel: Channel,
    *,
    report: Report,
    publish: Callable[[Event], Awaitable[bool]],
    primary: bool,
) -> Context:
    """Make the context of a channel's connector."""
    options = channel.options
    return Context(
        channel=ChannelRef(id=channel.id, type=channel.kind, account=options.account, labels=options.labels),
        log=structlog.get_logger("connectors").bind(channel=channel.id),
        http=core.http,
        blobs=core.blobs,
        data_dir=core.data_dir,
        hub=core.hub,
        state=ChannelState(core.dedup, channel.id),
        link=core.link,
        feeds=ChannelFeeds(core.feeds, channel.id),
        refused=telemetry.Meters(channel.id, channel.kind).refused,
        report=report,
        url=f"{public.rstrip('/')}/c/{channel.id}" if (public := core.settings.http.public_url) else "",
        speech=core.speech,
        primary=primary,
        publish=publish,
        hint=lambda event: hint(core.broker, event, core.clock()),
        audio=core.audio,
        seal=core.seal,
        retention=core.retention,
    )


def sender_of(core: Core, channel: Channel, connector: Connector, intake: Intake, statuses: Statuses) -> Outbound:
    """Make the sending side of a channel."""
    return Outbound(
        channel=channel,
        connector=connector,
        broker=core.broker,
        dedup=core.dedup,
        intake=intake,
        extras=Extras(
            keep_secs=core.settings.dedup.window_secs,
            drain_secs=core.settings.gateway.drain_secs,
            strict=core.settings.dedup.when_down == "refuse",
            blobs=core.blobs,
            journal=core.journal,
            statuses=statuses,
            link=core.link,
        ),
    )


def hint(broker: Broker, event: Event, at: float) -> None:
    """Publish what may be lost, if the broker takes it now: not persistent, soon expired, not claimed, not spooled."""
    if broker.ready:
        broker.submit([fleeting(event, timestamp=int(at))], _unheeded)


def _unheeded(items: Sequence[Publication], outcome: Outcome) -> None:
    """Whether it arrived interests nobody."""
