"""`omnigate simulate call`: telephone calls to a running gateway, or to anybody."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from connectors.sip.config import INSTALL
from gateway.commands.console import Config, Failure
from gateway.commands.target import choose, reachable
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate.call import CallReport, Calls, Flag, ring
from gateway.simulate.call_line import LineFault
from gateway.simulate.call_sound import HELLO, NoSound
from gateway.simulate.call_sound import load as load_sound
from gateway.simulate.call_wiring import Wiring
from gateway.simulate.report import Bar

EPILOGUE = """\
Calls are real: SIP and RTP by PJSIP, in processes of their own. Without --to
they go to the channel of kind sip; without --wav callers say "hello i want to
cancel my order please".

    omnigate simulate call
    omnigate simulate call --wav complaint.wav --to sip:100@192.0.2.7:5060
    omnigate simulate call --dtmf 4711# --record heard.wav
    omnigate simulate call --calls 1000 --at-once 20 --secs 2
    omnigate simulate call --transport tls --srtp mandatory --hangup callee
"""
ONE = Calls()
SIP_PORT = 5060
_URI = re.compile(
    r"^sips?:(?:[^@\s]+@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:;?>@\[\]]+)(?::(?P<port>\d{1,5}))?(?:[;?]\S*)?$"
)

app = App(name="call", help_format="plaintext", help_epilogue=EPILOGUE)


@app.default
def call(
    calls: Annotated[Calls, Parameter(name="*")] = ONE,
    *,
    wav: Path | None = None,
    to: str | None = None,
    config: Config = None,
    channel: str | None = None,
    transport: Literal["udp", "tcp", "tls"] = "udp",
    srtp: Literal["off", "optional", "mandatory"] = "off",
    codec: tuple[str, ...] = (),
    user: str = "caller",
    password: str | None = None,
    host: str | None = None,
    json: Flag = False,
) -> int:
    """Call a running gateway, and say something.

    Exit status 0: all calls were answered.

    Args:
        calls: how many, and what happens.
        wav: what callers say: a WAV of any rate, or any other format, with PyAV; else a 16-bit mono WAV of 8000 Hz.
        to: SIP URI to call; by default the channel of kind sip, on this machine.
        config: the configuration; not needed with --to.
        channel: id of the channel; not needed when there is only one of kind sip.
        transport: of SIP.
        srtp: encrypt the sound (SDES).
        codec: PCMU, PCMA, G722; by preference.
        user: who calls.
        password: for whoever asks who calls (digest).
        host: address to call from; by default the one that leads there.
        json: print JSON on a terminal, too.
    """
    problem = INSTALL if find_spec("pjsua2") is None else calls.problem()
    if problem is not None:
        raise Failure(problem)
    try:
        sound = load_sound(wav or HELLO)
    except NoSound as exc:
        raise Failure(str(exc)) from exc
    uri = with_transport(to or _uri(find(config), channel, transport), transport)
    wiring = Wiring(
        user=user,
        password=password,
        host=host or own_address(uri),
        transport=transport,
        srtp=srtp,
        codecs=codec or Wiring.codecs,
    )
    return play(uri, calls, wiring, sound, json=json)


def play(uri: str, calls: Calls, wiring: Wiring, sound: bytes, *, json: bool) -> int:
    """Make the calls, show progress, print the report; returns 0 if all were answered, else 1."""
    try:
        with Bar(calls.calls, "calling") as progress:
            report = asyncio.run(ring(uri, calls, wiring, sound, progress=progress))
    except* LineFault as exc:
        raise Failure(f"the telephone cannot be connected: {exc.exceptions[0]}") from None
    except* OSError as exc:
        raise Failure(f"--record: {exc.exceptions[0]}") from None
    sys.stdout.write(summarize(report, json=json or not sys.stdout.isatty()) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == 0 else 1


def summarize(report: CallReport, *, json: bool) -> str:
    """Render the report: words, or JSON."""
    per_second = report.sent / report.seconds if report.seconds else 0.0
    setup, jitter = report.latency_ms(), report.jitter_ms
    mean = round(1000 * sum(report.latencies) / len(report.latencies), 1) if report.latencies else None
    packets = {"received": report.received, "lost": report.lost, "sent": report.transmitted}
    packets["remote_lost"] = report.remote_lost
    codes = {str(status or "none"): count for status, count in sorted(report.statuses.items())}
    if json:
        document: dict[str, Any] = {"calls": report.sent, "answered": report.accepted, "failed": report.failed}
        document |= {"seconds": round(report.seconds, 3), "talk_seconds": round(report.talk_secs, 3)}
        document |= {"statuses": codes, "setup_ms": {"mean": mean, **setup}, "packets": packets}
        return msgspec.json.encode(document).decode()
    counts = f"{report.sent} calls, {report.accepted} answered, {report.failed} failed"
    lines = [
        f"{counts} in {report.seconds:.1f} s ({per_second:.1f}/s, {report.talk_secs:.0f} s of talk)",
        "answers: " + ", ".join(f"{count} x {status}" for status, count in codes.items()),
    ]
    if setup:
        lines.append(f"set-up: mean {mean:g} ms, " + ", ".join(f"{name} {value:g} ms" for name, value in setup.items()))
        lines.append(
            f"sound: {report.received} packets received, {report.lost} lost; {report.transmitted} sent, "
            f"{report.remote_lost} lost; jitter {sum(jitter) / len(jitter) if jitter else 0:.1f} ms"
        )
    if report.failed and report.reason:
        lines.append(f"the last that failed: {report.reason}")
    return "\n".join(lines)


def own_address(uri: str) -> str:
    """Return our address on the way to the host of a SIP URI; raises `Failure`."""
    host, _ = host_and_port(uri)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, SIP_PORT))  # UDP: nothing is sent
            found: str = probe.getsockname()[0]
    except OSError as exc:
        raise Failure(f"{uri}: there is no way to {host} ({exc.strerror or exc}); give --host") from exc
    return found


def host_and_port(uri: str) -> tuple[str, int | None]:
    """Take host and port out of a SIP URI; raises `Failure`."""
    found = _URI.match(uri)
    if found is None:
        raise Failure(f"{uri} is no SIP URI, such as sip:100@192.0.2.7:5060")
    return found["host"].strip("[]"), int(found["port"]) if found["port"] else None


def with_transport(uri: str, transport: str) -> str:
    """Name the transport in a URI that names none."""
    return uri if transport == "udp" or ";transport=" in uri.lower() else f"{uri};transport={transport}"


def _uri(path: Path, channel: str | None, transport: str) -> str:
    options: Any = choose(load(path).settings, "sip", channel).options
    listen = reachable(options.listen, "--to")
    if transport != "tls":
        return f"sip:100@{listen}"
    if options.tls is None:
        raise Failure("the channel has no `tls`; choose another --transport, or name somebody with --to")
    host, _, port = listen.rpartition(":")
    return f"sip:100@{host}:{options.tls.port or int(port) + 1}"
