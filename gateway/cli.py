"""The command `omnigate`.

The commands live in `gateway.commands` and are imported when they are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from cyclopts import App, CycloptsError, Group

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
HELP = "One gateway for every way a customer can reach you: messages come in by any channel and leave as JSON-RPC."
EXAMPLES = """\
Try it, with nothing set up (each in a terminal of its own):

    omnigate init && omnigate run
    omnigate tail
    omnigate simulate telegram --channel demo-telegram --text Hello

Then edit config/; "omnigate check" says what is wrong with it, and the
running gateway takes the change by itself.

Exit status: 0 done, 1 failed, 2 wrong usage.
"omnigate COMMAND --help" tells more.
"""

SERVING, ASKING = Group("Serve", sort_key=1), Group("Use", sort_key=2)
KEEPING, MENDING = Group("Look after", sort_key=3), Group("Configure", sort_key=4)
COMMANDS: tuple[tuple[str, str, Group, str], ...] = (
    ("run", "gateway.commands.run:run", SERVING, "Run the gateway; SIGTERM drains and exits, SIGHUP reloads."),
    ("init", "gateway.commands.init:init", SERVING, "Make up the demo secrets that the configuration refers to."),
    ("tail", "gateway.commands.messages:tail", ASKING, "Show what the gateway tells, one JSON object per line."),
    ("call", "gateway.commands.messages:call", ASKING, "Ask the gateway: any request of the message model."),
    ("send", "gateway.commands.send:send", ASKING, "Send a text or a file on a channel."),
    ("why", "gateway.commands.why:why", KEEPING, "Tell what happened to a message, and where it is now."),
    ("channels", "gateway.commands.channels:channels", KEEPING, "List the channels and how they are."),
    ("simulate", "gateway.commands.simulate:app", ASKING, "Send signed provider traffic to a running gateway."),
    ("spool", "gateway.commands.spool:app", KEEPING, "List, replay or drop what waits for the broker."),
    ("quarantine", "gateway.commands.quarantine:app", KEEPING, "Look at what was not understood, try it again."),
    ("models", "gateway.commands.models:app", MENDING, "List and install speech models."),
    ("check", "gateway.commands.check:check", MENDING, "Report every problem of the configuration, or try a payload."),
    ("schema", "gateway.commands.schema:schema", MENDING, "Print a generated schema: config, messages or asyncapi."),
)
"""Name, where it is, group, help; the help of `omnigate --help` must not import the command."""
NAMES = frozenset(name for name, *_ in COMMANDS)


def build(selected: str | None = None) -> App:
    """Put the command line together without importing a command; the one that is `selected` explains itself."""
    app = App(
        name="omnigate",
        help=HELP,
        help_epilogue=None if selected else EXAMPLES,
        help_format="plaintext",
        version=lambda: f"omnigate {metadata.version('omnigate')}",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for name, where, group, words in COMMANDS:
        app.command(where, name=name, group=group, help=None if name == selected else words)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    selected = next((word for word in words if word in NAMES), None)
    try:
        result: Any = build(selected)(words)
    except CycloptsError as exc:
        command = f"omnigate {selected}" if selected else "omnigate"
        return _complain(f"{_one_line(str(exc))}; see `{command} --help`", USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return OK
    except Exception as exc:
        reason = explain(exc)
        if reason is None:
            raise
        return _complain(reason, FAILED)
    return result if isinstance(result, int) else OK


def explain(exc: Exception) -> str | None:
    """Say what went wrong and what to do, for errors that are nobody's mistake in this program; else None."""
    from gateway.settings.problems import SettingsError  # noqa: PLC0415 -- only when something went wrong
    from normalizer.errors import OmniError  # noqa: PLC0415

    if isinstance(exc, SettingsError):
        return "the configuration cannot be used:\n" + "\n".join(f"  {problem}" for problem in exc.problems)
    if isinstance(exc, TimeoutError):
        return _one_line(str(exc)) or "no answer in time; is the gateway running? (`omnigate run`)"
    if isinstance(exc, OSError) and exc.filename and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    if isinstance(exc, (OmniError, OSError)):
        return _one_line(str(exc)) or type(exc).__name__
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _complain(words: str, status: int) -> int:
    sys.stderr.write(f"omnigate: {words}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
