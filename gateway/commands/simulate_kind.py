"""`omnigate simulate <kind>`: one command for every webhook kind, made from its simulator when it is asked for.

Attributes of this module are made on demand (PEP 562): the command line names ``simulate_kind:slack``, and only then
the simulator of Slack is imported.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.commands.console import Config, Failure
from gateway.commands.console import line as say  # `line` is a kind
from gateway.commands.target import choose, web_url
from gateway.settings.load import load
from gateway.settings.model import Channel, Settings
from gateway.settings.sources import find
from gateway.simulate import registry
from gateway.simulate.api import Simulator
from gateway.simulate.report import Bar, Report, summarize
from gateway.simulate.traffic import Manner, deliver, shake
from gateway.simulate.wanted import Flag, Wanted, deliveries

EPILOGUE = """\
What can happen (--kind): {contents}.
{batches}
Signed with the secrets of the channel, and sent again until accepted:

    omnigate simulate {kind} --text "Where is my parcel?"
    omnigate simulate {kind} --count 1000 --rate 100 --duplicates 0.1
{handshake}{extras}"""

Spread = Parameter(name="*")
USUAL, AT_ONCE = Wanted(), Manner()


def __getattr__(name: str) -> App:
    """Make the command of a kind."""
    if name not in registry.WORDS:
        raise AttributeError(f"there is no simulator of {name}")
    simulator = registry.simulator_of(name)
    app = App(name=name, help_format="plaintext", help_epilogue=epilogue(name, simulator))
    app.default(command_of(name, simulator))
    return app


def epilogue(kind: str, simulator: type[Simulator[Any]]) -> str:
    """Say what a kind's simulator can do, with examples."""
    extras = "".join(f"\n    --extra {name}=…   {words}" for name, words in simulator.extras.items())
    most = simulator.batch_max
    return EPILOGUE.format(
        kind=kind,
        contents=", ".join(simulator.contents),
        batches=f"Up to {most} of it in one delivery (--batch).\n" if most > 1 else "",
        handshake="" if simulator.handshake is Simulator.handshake else f"    omnigate simulate {kind} --handshake\n",
        extras=f"\nIt can be told:\n{extras}\n" if extras else "",
    )


def command_of(kind: str, simulator: type[Simulator[Any]]) -> Callable[..., int]:
    """Make what the command of a kind does."""

    def command(
        wanted: Annotated[Wanted, Spread] = USUAL,
        manner: Annotated[Manner, Spread] = AT_ONCE,
        *,
        config: Config = None,
        url: str | None = None,
        channel: str | None = None,
        handshake: Flag = False,
        retry: bool = True,
        extra: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    ) -> int:
        """Send deliveries to a running gateway.

        Args:
            wanted: what happens.
            manner: how it is delivered.
            config: the configuration; it knows the secrets.
            url: where the gateway listens, such as http://127.0.0.1:8080; by default as configured.
            channel: id of the channel; not needed when there is only one of the kind.
            handshake: only ask what the provider asks when the URL is entered, and check the answer.
            retry: send again after anything but 2xx.
            extra: NAME=VALUE the simulator needs besides the channel's options.
        """
        settings = load(find(config)).settings
        chosen = choose(settings, kind, channel)
        base = url or web_url(settings)
        told = pairs(extra, simulator.extras)
        try:
            made = simulator(chosen.options, url=public_url(settings, chosen, base), extra=told)
        except ValueError as exc:
            raise Failure(str(exc)) from exc
        target = f"{base.rstrip('/')}/c/{chosen.id}"
        if handshake:
            return ask(target, made)
        return play(target, made, wanted, manner if retry else Manner(**{**vars(manner), "attempts": 1}))

    return command


def public_url(settings: Settings, channel: Channel, base: str) -> str:
    """Return the URL the provider knows the channel by, which some of them sign."""
    return f"{(settings.http.public_url or base).rstrip('/')}/c/{channel.id}"


def pairs(given: tuple[str, ...], known: Any) -> dict[str, str]:
    """Read NAME=VALUE; raises `Failure` for what the simulator does not know."""
    found = dict(one.partition("=")[::2] for one in given)
    for name in found.keys() - known.keys():
        raise Failure(f"--extra {name}: this simulator knows {', '.join(known) or 'none'}")
    return found


def play(target: str, simulator: Simulator[Any], wanted: Wanted, manner: Manner) -> int:
    """Post what is wanted, show progress, print the report; returns 0 if everything was accepted, else 1."""
    problem = wanted.problem(simulator)
    if problem is not None:
        raise Failure(problem)
    total = round(wanted.expected * (1 + manner.duplicates + manner.retries))
    with Bar(total) as progress:
        job = deliver(target, simulator, deliveries(wanted, simulator), manner, progress=progress)
        report = asyncio.run(job)
    return _tell(report)


def ask(target: str, simulator: Simulator[Any]) -> int:
    """Perform the handshake; returns 0 if the answer is right, else 1."""
    handshake = simulator.handshake(time.time())  # noqa: TID251 -- the edge: a signed time
    if handshake is None:
        raise Failure("this provider asks nothing when a URL is entered")
    complaint = asyncio.run(shake(target, handshake))
    if complaint is not None:
        raise Failure(f"the handshake failed: {complaint}")
    say("the handshake succeeded", "green")
    return 0


def _tell(report: Report) -> int:
    sys.stdout.write(summarize(report) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == 0 else 1
