"""sipp (Debian's sip-tester): many plain callers, step by step as a scenario says, with real RTP."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import NamedTuple

from tests.servers.process import Process, free_port, free_ports, require
from tests.sip.scenarios import SPEECH

_NUMBERS = itertools.count()


class Outcome(NamedTuple):
    """What became of the calls.

    Attributes:
        code: exit code; 0 when every call went as the scenario says.
        succeeded, failed: calls.
        retransmissions: of requests.
        log: what went wrong, in sipp's words.
    """

    code: int
    succeeded: int
    failed: int
    retransmissions: int
    log: str


class Sipp:
    """A run of sipp; from `start` on it calls by itself.

    It has a folder and a SIP port of its own; its RTP ports begin at a free one, those that are taken are stepped over.
    """

    def __init__(self, folder: Path, scenario: str, *, speech: bytes = b"\xff" * 800) -> None:
        """Write the scenario, and the raw mu-law that callers say again and again (silence)."""
        self.folder = folder / f"sipp-{next(_NUMBERS)}"
        self.folder.mkdir(parents=True)
        (self.folder / "scenario.xml").write_text(scenario)
        (self.folder / SPEECH).write_bytes(speech)
        self.port = free_port()
        self._process: Process | None = None

    def start(
        self,
        port: int = 9,
        *,
        service: str = "100",
        calls: int = 1,
        at_once: int = 1,
        per_second: float = 10,
        pause_ms: int = 1000,
        tcp: bool = False,
        proxy: int | None = None,
        options: tuple[str, ...] = (),
    ) -> Sipp:
        """Call ``sip:<service>@127.0.0.1:<port>``, or wait for calls if the scenario begins with an INVITE that comes.

        Args:
            port: of the other side.
            service: user part of the URI.
            calls: to make; then it ends.
            at_once: no more calls than that at a time.
            per_second: how fast new ones begin.
            pause_ms: length of the scenario's ``pause()``.
            tcp: instead of UDP.
            proxy: where to send everything instead (`-rsa`).
            options: further arguments.
        """
        argv = [require("sipp", "sip-tester"), f"127.0.0.1:{port}", "-sf", "scenario.xml", "-s", service]
        argv += ["-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(self.port), "-mp", str(free_ports(4))]
        argv += ["-cp", str(free_port()), "-t", "t1" if tcp else "u1", "-nostdin", "-m", str(calls), "-l", str(at_once)]
        argv += ["-r", f"{max(1, round(per_second))}", "-d", str(pause_ms), "-timer_resol", "5"]
        argv += ["-trace_err", "-error_file", "errors.log", "-trace_stat", "-stf", "stat.csv", "-fd", "1"]
        argv += ["-rsa", f"127.0.0.1:{proxy}"] if proxy is not None else []
        self._process = Process([*argv, *options], log=self.folder / "sipp.log", cwd=self.folder)
        return self

    def wait(self, timeout: float = 60) -> Outcome:
        """Wait until all calls are over; raises `TimeoutError`."""
        process = self._running()
        try:
            code = process.wait(timeout)
        except TimeoutError as exc:
            raise TimeoutError(f"sipp: {exc}\n{self._errors()}") from None
        last = self._statistics()
        return Outcome(
            code=code,
            succeeded=int(last.get("SuccessfulCall(C)") or 0),
            failed=int(last.get("FailedCall(C)") or 0),
            retransmissions=int(last.get("Retransmissions(C)") or 0),
            log="" if code == 0 else self._errors() or process.output()[-2000:],
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._running().pid

    def run(self, port: int, **options: object) -> Outcome:
        """`start` and `wait`."""
        return self.start(port, **options).wait()  # type: ignore[arg-type]

    def up(self) -> int:
        """Count the calls that are going on, as of the last second."""
        return int(self._statistics().get("CurrentCall") or 0)

    def kill(self) -> None:
        """Vanish: no BYE, no more sound."""
        if self._process is not None:
            self._process.kill()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("sipp was not started")
        return self._process

    def _errors(self) -> str:
        path = self.folder / "errors.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def _statistics(self) -> dict[str, str]:
        path = self.folder / "stat.csv"
        if not path.exists():
            return {}
        rows = list(csv.reader(path.read_text(errors="replace").splitlines(), delimiter=";"))
        return dict(zip(rows[0], rows[-1], strict=False)) if len(rows) > 1 else {}
