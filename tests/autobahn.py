"""`make autobahn`: the Autobahn test suite itself against the port of the web chat, behind which a server echoes.

It needs a Python 2.7 (``PYTHON2=/path/to/python2.7``); what everybody runs is
`tests/integration/chat/test_chat_autobahn.py`. Reports are in var/autobahn, as HTML.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection

from connectors.chat.config import ChatConfig
from connectors.chat.listener import Listener, Member
from tests.servers.process import free_port

HOME = Path("var/autobahn")
SUITE = "autobahntestsuite==0.8.2"
"""Later releases are for the same Python and need more."""
VIRTUALENV = "virtualenv==20.21.1"
"""The last that makes environments for Python 2.7."""
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
ALL = [*QUICK, "9.*", "12.*", "13.*"]
ALLOWED = {
    "NON-STRICT": {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.2.3", "4.2.4", "5.15", "6.4.1", "6.4.2", "6.4.3", "6.4.4"},
    "FAILED": {"7.1.5"},
}
"""What the library does otherwise than the suite likes best, and may (RFC 6455 §5.5.1, §7.1.7): a message is not
echoed when the next frame, which came with it, breaks the protocol; invalid UTF-8 is told at the end of a message; a
close in the middle of a message is answered by 1002."""
LARGEST = 20_000_000


class Echo:
    """What the suite talks to."""

    def __init__(self, ws: ServerConnection, _remote: str) -> None:
        """Serve a connection."""
        self._ws = ws

    async def serve(self) -> None:
        """Send back what comes."""
        async for message in self._ws:
            await self._ws.send(message)

    async def dismiss(self, after_ms: int) -> None:
        """Nobody is sent elsewhere."""


def install() -> Path:
    """Return the program `wstest`, installed if need be; raises `SystemExit` where that cannot be."""
    program = HOME / "venv" / "bin" / "wstest"
    if program.exists():
        return program
    python = os.environ.get("PYTHON2") or shutil.which("python2.7")
    if python is None:
        raise SystemExit("autobahn: the suite needs a Python 2.7: make autobahn PYTHON2=/path/to/python2.7")
    make = [str(Path(sys.executable).with_name("uv")), "tool", "run", "--from", VIRTUALENV, "virtualenv", "--quiet"]
    subprocess.run([*make, "--python", python, str(HOME / "venv")], check=True)
    subprocess.run([HOME / "venv" / "bin" / "pip", "install", "--quiet", SUITE], check=True)
    return program


async def run(program: Path, cases: list[str]) -> dict[str, dict[str, str]]:
    """Let the suite try the port; returns what it found, by case."""
    port, reports = free_port(), HOME / "reports"
    config = ChatConfig(listen=f"127.0.0.1:{port}", message_max_bytes=LARGEST, max_connections_per_ip=1000)
    member = Member("web", config, Echo)
    listener = Listener(config)
    await listener.join(member)
    server = {"agent": "omnigate", "url": f"ws://127.0.0.1:{port}/chat/web/ws"}
    spec = {"outdir": str(reports), "servers": [server], "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    path = HOME / "spec.json"
    path.write_text(json.dumps(spec))
    try:
        child = await asyncio.create_subprocess_exec(
            program, "--mode", "fuzzingclient", "--spec", path, stdout=sys.stderr, stderr=sys.stderr
        )
        if await child.wait():
            raise SystemExit("autobahn: the suite has failed")
    finally:
        await listener.part(member)
    found: dict[str, dict[str, str]] = json.loads((reports / "index.json").read_text())["omnigate"]
    return found


def main() -> int:
    """Run it; 1 when a case ends otherwise than it may. ``--all`` takes limits and compression, too: some minutes."""
    HOME.mkdir(parents=True, exist_ok=True)
    found = asyncio.run(run(install(), ALL if "--all" in sys.argv else QUICK))
    good = {"OK", "INFORMATIONAL"}
    bad = {
        case: f"{told['behavior']}, close {told['behaviorClose']}"
        for case, told in sorted(found.items())
        if told["behavior"] not in good and case not in ALLOWED.get(told["behavior"], ())
    }
    print(f"{len(found)} cases, {len(bad)} ended otherwise than they may; see {HOME}/reports/index.html")
    print("\n".join(f"  {case}: {how}" for case, how in bad.items()))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
