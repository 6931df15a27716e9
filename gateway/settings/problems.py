"""What is wrong with a configuration, as data: all of it, not only the first thing."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from typing_extensions import override

from normalizer.errors import OmniError


class Problem(Struct, frozen=True, kw_only=True):
    """One thing to mend, or, as a warning, to think about.

    Attributes:
        file: where it is written, relative to the current directory where that is shorter.
        path: which key (``channels.shop.token``) or position (``line 3, column 7``); empty for the file as a whole.
        message: what is wrong, never with the value of a secret.
        hint: what to do about it; may be empty.
    """

    file: str
    path: str
    message: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        where = f"{self.file}: {self.path}" if self.path else self.file
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class SettingsError(OmniError):
    """The configuration cannot be used; raised at start-up and reload only.

    Attributes:
        problems: every problem, at least one, in the order of the files.
    """

    code = "settings"

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Take every problem that was found."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(file: Path) -> str:
    """Name a file the way the operator knows it: relative to the current directory when it lies below."""
    try:
        return str(Path(os.path.normpath(file.absolute())).relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known words nearest to `word`; empty when none is near."""
    near = difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.6)
    return "did you mean " + " or ".join(near) + "?" if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the known words nearest to `word`, or list them all when none is near."""
    words = sorted(known)
    return nearest(word, words) or ("known are " + ", ".join(words) if words else "")
