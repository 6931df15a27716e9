"""How commands speak: colours for people, plain lines or JSON for pipes, errors in one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from gateway.settings.problems import Problem
from normalizer.errors import OmniError

Config = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="Configuration; else $OMNIGATE_CONFIG, else config/omnigate.toml."),
]


class Failure(OmniError):
    """A command cannot do what it was asked; the message is one line that says what to do."""

    code = "command_failed"


def line(text: str, style: str = "") -> None:
    """Write one line to stdout, coloured on a terminal."""
    _write(sys.stdout, text, style)


def warn(text: str, style: str = "yellow") -> None:
    """Write one line to stderr, coloured on a terminal."""
    _write(sys.stderr, text, style)


def emit(document: Any) -> None:
    """Write a JSON document to stdout: indented and coloured on a terminal, one line in a pipe."""
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    if not sys.stdout.isatty():
        sys.stdout.write(body.decode() + "\n")
        sys.stdout.flush()
        return
    from rich.console import Console  # noqa: PLC0415 -- pipes do without

    Console().print_json(body.decode())


def report(problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
    """List problems and warnings on stdout, one line each."""
    for problem in problems:
        line(str(problem), "red")
    for warning in warnings:
        line(f"{warning} [warning]", "yellow")


def _write(stream: Any, text: str, style: str) -> None:
    if not (style and stream.isatty()):
        stream.write(text + "\n")
        stream.flush()
        return
    from rich.console import Console  # noqa: PLC0415 -- pipes do without

    Console(file=stream).print(text, style=style, markup=False, highlight=False, soft_wrap=True)
