"""The program of one worker process: ``python -m gateway.worker CONFIG INDEX COUNT READY SOCKET SHARES``.

`gateway.workers` starts it.
The last three are file descriptors. It writes a byte to READY once it can take deliveries, which it accepts from
SOCKET according to SHARES (see `gateway.web.door`).
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from gateway.app import serve
from gateway.settings.load import load
from gateway.settings.problems import SettingsError
from gateway.web.door import Shared, Shares


def main() -> int:
    """Serve as one worker; returns the exit status."""
    path = Path(sys.argv[1])
    index, count, report, listening, shares = map(int, sys.argv[2:7])
    shared = Shared(socket.socket(fileno=listening), Shares(shares, count), index)

    def ready() -> None:
        with suppress(BrokenPipeError):  # the parent is gone; standard input tells, too
            os.write(report, b".")
        os.close(report)

    try:
        settings = load(path).settings
    except SettingsError as exc:
        print("\n".join(str(problem) for problem in exc.problems), file=sys.stderr)  # noqa: T201 -- no log yet
        return 1
    return serve(path, settings, shared=shared, banner=index == 0, ready=ready)


if __name__ == "__main__":
    sys.exit(main())
