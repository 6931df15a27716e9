"""A gateway with a telephone line, and a core behind it, for end-to-end tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests import voice
from tests.servers.gateway import GatewayProcess
from tests.servers.mail_core import Core
from tests.servers.process import free_port, rtp_ports, wait_until
from tests.sip import sound
from tests.sip.sound import Pcm

CHANNEL = "phone"
T = TypeVar("T")


def line(port: int, *, channel: str = CHANNEL, **options: str) -> str:
    """Write a channel of kind ``sip`` as TOML; options are TOML values."""
    media = list(rtp_ports(800))
    usual = {"listen": f'"127.0.0.1:{port}"', "rtp_ports": f"{media}", "invites_per_minute": "0"}
    lines = "".join(f"{name} = {value}\n" for name, value in {**usual, **options}.items())
    return f'[channels.{channel}]\nkind = "sip"\n{lines}'


def ears(workers: int = 1, **options: str) -> dict[str, str]:
    """Write sections with speech recognition by the tiny model."""
    more = "".join(f"{name} = {value}\n" for name, value in options.items())
    return {"asr": f'models = {{ en = "{voice.MODEL}" }}\nworkers = {workers}\n{more}'}


class Exchange:
    """A gateway that takes calls.

    Attributes:
        gateway: the gateway.
        port: of SIP.
        core: reads its events, and can ask something.
    """

    def __init__(
        self, make: Callable[..., GatewayProcess], *, port: int | None = None, more: str = "", **options: Any
    ) -> None:
        """Start it.

        Args:
            make: starts a gateway.
            port: of SIP.
            more: TOML of further channels.
            options: TOML values of the channel; those that begin with ``gateway_`` are for `GatewayProcess`.
        """
        self.port = port or free_port()
        own = {name: value for name, value in options.items() if not name.startswith("gateway_")}
        rest = {name.removeprefix("gateway_"): value for name, value in options.items() if name.startswith("gateway_")}
        self.gateway = make(channels=line(self.port, **own) + more, **rest)
        self.listen()

    def listen(self) -> None:
        """Read the events, from the first one on."""
        self.core = Core(self.gateway, CHANNEL)

    def close(self) -> None:
        """End it."""
        self.core.close()
        self.gateway.stop()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request about calls; returns the answer, with `result` or `error`."""
        answer: dict[str, Any] = self.gateway.call(method, {"channel": CHANNEL, **params})
        return answer

    def wait(self, method: str, call: str | None = None, *, count: int = 1, timeout: float = 40) -> dict[str, Any]:
        """Wait for so many events of a method (of a call); returns the params of the last of them."""
        wait_until(lambda: len(self.told(method, call)) >= count, timeout=timeout, what=f"{count} x {method}")
        return self.told(method, call)[count - 1]

    def wait_for(self, found: Callable[[], T], what: str = "it is told", timeout: float = 40) -> T:
        """Poll until something is found, and return it."""
        wait_until(found, timeout=timeout, what=what)
        return found()

    def told(self, method: str, call: str | None = None) -> list[dict[str, Any]]:
        """Return the params of the events of a method (of a call) so far."""
        return [params for params in self.core.told(method) if call in {None, params["call_id"]}]

    def of(self, port: int) -> str:
        """Wait for the call that came from a port; returns its id."""
        source = f"127.0.0.1:{port}"

        def found() -> list[str]:
            return [one["call_id"] for one in self.told("call.offered") if one.get("source") == source]

        return self.wait_for(found, f"a call from {source}")[-1]

    def marked(self, header: str, value: str) -> str:
        """Wait for the call whose INVITE had a header (in small letters); returns its id."""

        def found() -> list[str]:
            offered = self.told("call.offered")
            return [one["call_id"] for one in offered if one.get("headers", {}).get(header) == value]

        return self.wait_for(found, f"a call with {header}: {value}")[0]

    def words(self, call: str) -> str:
        """Wait for the last transcript of a call; returns what was understood."""
        wait_until(lambda: self._complete(call), timeout=40, what="the complete transcript")
        return str(self._complete(call)[0]["text"])

    def _complete(self, call: str) -> list[dict[str, Any]]:
        return [one for one in self.told("call.transcript.final", call) if one.get("complete")]

    def recording(self, call: str) -> Pcm:
        """Wait for the recording of a call; returns its samples, caller left."""
        digest: str = self.wait("call.recording.ready", call)["media"]["sha256"]
        return sound.read(blob(self.gateway.data_dir, digest))

    def children(self) -> list[psutil.Process]:
        """Find the processes that have PJSIP in them, in the order in which they were started."""
        family = psutil.Process(self.gateway.pid).children(recursive=True)
        return sorted((one for one in family if _is_child(one)), key=_age)

    def memory(self) -> dict[int, float]:
        """Return MiB (resident) of the gateway, and of each process with PJSIP in it, by pid."""
        family = [psutil.Process(self.gateway.pid), *self.children()]
        return {one.pid: one.memory_info().rss / 2**20 for one in family}


def blob(data_dir: Path, digest: str) -> Path:
    """Return where a blob is."""
    return data_dir / "blobs" / digest[:2] / digest


def _age(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(process.create_time())
    return 0.0


def _is_child(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "connectors.sip.child" in process.cmdline()
    return False
