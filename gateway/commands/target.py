"""Which channel and which address a command means, from the configuration."""

from __future__ import annotations

from gateway.commands.console import Failure
from gateway.settings.model import Channel, Settings
from gateway.settings.problems import did_you_mean

ANYWHERE = {"", "0.0.0.0", "[::]"}  # noqa: S104 -- compared with, not bound to


def choose(settings: Settings, kind: str, channel_id: str | None) -> Channel:
    """Return the channel of that id, or the only one of that kind; raises `Failure`."""
    if channel_id is not None:
        return named(settings, channel_id, kind)
    found = [channel for channel in settings.channels.values() if channel.kind == kind and channel.options.enabled]
    if len(found) != 1:
        names = ", ".join(channel.id for channel in found)
        raise Failure(f"say which with --channel: {names}" if found else f"there is no {kind} channel")
    return found[0]


def named(settings: Settings, channel_id: str, kind: str | None = None) -> Channel:
    """Return a configured channel; raises `Failure` when there is none, or it is of another kind."""
    channel = settings.channels.get(channel_id)
    if channel is None:
        raise Failure(f"there is no channel {channel_id!r} ({did_you_mean(channel_id, settings.channels)})")
    if kind is not None and channel.kind != kind:
        raise Failure(f"the channel {channel_id!r} is of kind {channel.kind!r}, not {kind!r}")
    return channel


def reachable(listen: str, option: str) -> str:
    """Turn an address to listen on into one to connect to; raises `Failure` when only the gateway knows its port."""
    host, _, port = listen.rpartition(":")
    if port == "0":
        raise Failure(f"the configuration lets the system choose the port; give it with {option}")
    return f"{'127.0.0.1' if host in ANYWHERE else host}:{port}"


def web_url(settings: Settings) -> str:
    """Return where this machine reaches the gateway's web server; raises `Failure`."""
    return "http://" + reachable(settings.http.listen, "--url")
