"""The program of one worker process: ``python -m gateway.worker CONFIG INDEX COUNT FD``; started by `gateway.workers`.

It writes a byte to the file descriptor FD once it can take deliveries.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from gateway.app import serve
from gateway.settings.load import load
from gateway.settings.problems import SettingsError


def main() -> int:
    """Serve as one worker; returns the exit status."""
    path, index, count, report = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

    def ready() -> None:
        with suppress(BrokenPipeError):  # the parent is gone; standard input tells, too
            os.write(report, b".")
        os.close(report)

    try:
        settings = load(path).settings
    except SettingsError as exc:
        print("\n".join(str(problem) for problem in exc.problems), file=sys.stderr)  # noqa: T201 -- no log yet
        return 1
    return serve(path, settings, index=index, workers=count, banner=index == 0, ready=ready)


if __name__ == "__main__":
    sys.exit(main())
