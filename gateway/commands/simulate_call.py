"""`omnigate simulate call`: telephone calls to a running gateway, or to anybody."""

from __future__ import annotations

import asyncio
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
from gateway.simulate.call_line import LineFault, Wiring
from gateway.simulate.call_sound import HELLO, NoSound, load as load_sound
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
TLS_PORT = 5061

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

    Exit status 0: all calls were answered. The summary tells of SIP statuses, set-up times and lost packets.

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
    if find_spec("pjsua2") is None:
        raise Failure(INSTALL)
    problem = calls.problem()
    if problem is not None:
        raise Failure(problem)
    try:
        sound = load_sound(wav or HELLO)
    except NoSound as exc:
        raise Failure(str(exc)) from exc
    uri = _with_transport(to or _uri(find(config), channel, transport), transport)
    wiring = Wiring(
        user=user,
        password=password,
        host=host or own_address(uri),
        transport=transport,
        srtp=srtp,
        **({"codecs": tuple(codec)} if codec else {}),
    )
    return play(uri, calls, wiring, sound, json=json)


def play(uri: str, calls: Calls, wiring: Wiring, sound: bytes, *, json: bool) -> int:
    """Make the calls, show progress, print the report; returns 0 if all were answered, else 1."""
    try:
        with Bar(calls.calls, "calling") as progress:
            report = asyncio.run(ring(uri, calls, wiring, sound, progress=progress))
    except* LineFault as exc:
        raise Failure(f"the telephone cannot be connected: {exc.exceptions[0]}") from None
    sys.stdout.write(summarize(report, json=json or not sys.stdout.isatty()) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == 0 else 1
