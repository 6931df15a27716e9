"""The files of a configuration: read, included, merged, with a memory of which key stands in which file."""

from __future__ import annotations

import glob
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gateway.settings import references
from gateway.settings.problems import Problem, shown

DEFAULT = Path("config/omnigate.toml")
VARIABLE = "OMNIGATE_CONFIG"
_POSITION = re.compile(r"^(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)$", re.DOTALL)


class Table(Struct, frozen=True):
    """One section or channel as written."""

    value: Any
    file: Path


class Sources(Struct, kw_only=True):
    """Everything that was read.

    Attributes:
        sections: name → table, of every file.
        channels: id → table, of every file.
        files: what was read or should have been, in order; the first is the main file.
        patterns: what `include` asks for, as absolute paths with wildcards.
        problems: files that could not be read, and keys that stand in two files.
        warnings: patterns that match nothing.
    """

    sections: dict[str, Table] = field(default_factory=dict)
    channels: dict[str, Table] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    patterns: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def note(self, file: Path, path: str, message: str, hint: str = "") -> None:
        """Take down a problem of a file."""
        self.problems.append(Problem(file=shown(file), path=path, message=message, hint=hint))

    def with_secrets(self) -> list[Path]:
        """List what was read and every file that it refers to with ``file:``."""
        found = dict.fromkeys(self.files)
        for table in (*self.sections.values(), *self.channels.values()):
            found.update(dict.fromkeys(references.files(table.value, table.file)))
        return list(found)


def find(given: Path | None) -> Path:
    """Choose the configuration: what was given, else ``$OMNIGATE_CONFIG``, else ``config/omnigate.toml``."""
    return given or Path(os.environ.get(VARIABLE) or DEFAULT)


def read(main: Path) -> Sources:
    """Read a configuration and what it includes; never raises, the problems are in the result."""
    sources = Sources()
    document = _parse(main, sources)
    patterns = document.pop("include", [])
    _merge(document, main, sources)
    if not isinstance(patterns, list) or not all(isinstance(word, str) and "\0" not in word for word in patterns):
        sources.note(main, "include", "expected a list of file names or patterns", 'such as ["channels/*.toml"]')
        return sources
    for index, pattern in enumerate(patterns):
        for file in _matches(pattern, f"include[{index}]", main, sources):
            if os.path.realpath(file) not in map(os.path.realpath, sources.files):
                _include(file, sources)
    return sources


def _matches(pattern: str, path: str, main: Path, sources: Sources) -> list[Path]:
    """Expand one pattern, relative to the file that includes; in order of the names."""
    target = main.parent / pattern
    sources.patterns.append(target)
    if not glob.has_magic(pattern):
        return [target]
    names = glob.glob(str(target), recursive=True)  # noqa: PTH207 -- Path.glob takes no absolute patterns
    found = sorted(Path(name) for name in names if Path(name).is_file())
    if not found:
        warning = Problem(file=shown(main), path=path, message=f"{pattern} matches no file")
        sources.warnings.append(warning)
    return found


def _include(file: Path, sources: Sources) -> None:
    document = _parse(file, sources)
    if document.pop("include", None) is not None:
        sources.note(file, "include", "an included file cannot include others", "list them all in the main file")
    _merge(document, file, sources)


def _parse(file: Path, sources: Sources) -> dict[str, Any]:
    sources.files.append(file)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        hint = f"write it, or name another with --config or ${VARIABLE}" if len(sources.files) == 1 else ""
        sources.note(file, "", "there is no such file", hint)
    except OSError as exc:
        sources.note(file, "", f"cannot be read: {exc.strerror or exc}")
    except UnicodeDecodeError as exc:
        sources.note(file, "", f"is not UTF-8 text (byte {exc.start})")
    except RecursionError:
        sources.note(file, "", "is nested too deeply")
    except ValueError as exc:  # TOMLDecodeError, and what Python's own number parsing refuses
        position = _POSITION.match(str(exc))
        what, where = position.group("what", "where") if position else (str(exc), "")
        sources.note(file, where, f"is not TOML: {what[:1].lower()}{what[1:]}")
    return {}


def _merge(document: dict[str, Any], file: Path, sources: Sources) -> None:
    channels = document.pop("channels", {})
    if not isinstance(channels, dict):
        sources.note(file, "channels", "expected a table per channel", "such as [channels.shop]")
        channels = {}
    for target, tables, prefix in ((sources.sections, document, ""), (sources.channels, channels, "channels.")):
        for name, value in tables.items():
            if name in target:
                other = shown(target[name].file)
                sources.note(file, prefix + name, f"is also in {other}", "keep one of the two")
            else:
                target[name] = Table(value, file)
