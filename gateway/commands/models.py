"""`omnigate models`: the speech models, what there is, what is here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from cyclopts import App, Parameter

from asr import catalogue, models
from asr.catalogue import Entry
from asr.download import Progress, Wanted, nothing
from asr.install import Installed
from asr.install import install as install_model
from gateway.commands.console import Config, Failure, emit, line, warn
from gateway.commands.listing import for_people, json_line, size, table
from gateway.settings.load import load_sections
from gateway.settings.sources import find

HEADS = ("model", "language", "", "kind", "size>", "")
EXAMPLES = """\
Speech is recognised on this machine, with a model per language:

    omnigate models list de
    omnigate models install de             # the smallest of a language, or by its name
    omnigate models path vosk-model-small-de-0.15

Then name it in the configuration: [asr] models = { de = "vosk-model-small-de-0.15" }. A running gateway finds a
model that it waits for by itself.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

Flag = Annotated[bool, Parameter(negative=())]
Folder = Annotated[Path | None, Parameter(name="--dir")]
Catalogue = Annotated[str | None, Parameter(name="--catalogue")]

app = App(name="models", help="Speech models: list, install.", help_epilogue=EXAMPLES, help_format="plaintext")


@app.command(name="list")
async def show(
    language: str | None = None,
    /,
    *,
    config: Config = None,
    dir: Folder = None,  # noqa: A002 -- the option
    catalogue: Catalogue = None,
    all: Flag = False,  # noqa: A002 -- the option
    json: Flag = False,
) -> None:
    """List what can be installed and what is: a table on a terminal, one JSON object per line in a pipe.

    Args:
        language: only this one, such as de or en-gb.
        config: the configuration, which says where models are (<data_dir>/models) and which are used.
        dir: where models are, instead.
        catalogue: URL of a newer catalogue (https://alphacephei.com/vosk/models/model-list.json).
        all: obsolete ones, too.
        json: JSON on a terminal, too.
    """
    folder, used = _place(config, dir)
    rows = [
        _row(entry, folder, used)
        for entry in await _entries(catalogue)
        if (all or entry.current)
        and (language is None or entry.lang.partition("-")[0] == language or entry.lang == language)
    ]
    known = {row["name"] for row in rows}
    if language is None:
        rows += [_own(name, folder, used) for name in _present(folder) if name not in known]
    if not for_people(as_json=json):
        for row in rows:
            json_line(row)
    elif rows:
        table(HEADS, [_cells(row) for row in rows], ["green" if row["installed"] else "" for row in rows])
    else:
        line(f"there is no model for {language!r}; `omnigate models list` shows all languages")


@app.command
async def install(
    model: str,
    /,
    *,
    config: Config = None,
    dir: Folder = None,  # noqa: A002 -- the option
    catalogue: Catalogue = None,
    url: str | None = None,
    sha256: str | None = None,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Download a model, check it, and unpack it into <data_dir>/models.

    A download that was cut off goes on where it was. Its checksum is the SHA-256 that is given or that the catalogue
    has, else the MD5 of the public catalogue.

    Args:
        model: its name, or a language for the smallest model of it.
        config: the configuration, which says where models are.
        dir: where models are, instead.
        catalogue: URL of a newer catalogue (https://alphacephei.com/vosk/models/model-list.json).
        url: where the archive is, for a model that is in no catalogue.
        sha256: what the archive must have.
        force: replace it if it is there.
        json: JSON on a terminal, too.
    """
    folder, _ = _place(config, dir)
    async with aiohttp.ClientSession() as http:
        entry = Entry(name=model, url=url) if url else _choose(await _entries(catalogue), model)
        wanted = Wanted(url=entry.url, size=entry.size, md5=entry.md5, sha256=sha256 or entry.sha256)
        with _bar(entry.name) as progress:
            done = await install_model(http, entry.name, wanted, folder, force=force, progress=progress)
    _tell(done, entry, as_json=json)


@app.command
def path(model: str | None = None, /, *, config: Config = None, dir: Folder = None) -> None:  # noqa: A002
    """Print where models are, or where one is; fails when it is not there.

    Args:
        model: its name.
        config: the configuration, which says where models are.
        dir: where models are, instead.
    """
    folder, _ = _place(config, dir)
    line(str(models.find(model, folder).path if model else folder))


def _place(config: Path | None, folder: Path | None) -> tuple[Path, dict[str, str]]:
    """Return where models are, and which are used for which language."""
    if folder is not None and config is None:
        return folder, {}
    section, asr = load_sections(find(config), "gateway", "asr")
    return folder or Path(section.data_dir) / "models", dict(asr.models)


async def _entries(url: str | None) -> list[Entry]:
    if url is None:
        return catalogue.embedded()
    async with aiohttp.ClientSession() as http:
        return await catalogue.fetch(http, url)


def _choose(entries: list[Entry], wanted: str) -> Entry:
    found = catalogue.choose(entries, wanted)
    if found is None:
        close = get_close_matches(wanted, [entry.name for entry in entries], n=1)
        hint = f"did you mean {close[0]}?" if close else "`omnigate models list` shows them"
        raise Failure(f"no model is called {wanted!r}, and there is none for such a language; {hint}")
    return found


def _present(folder: Path) -> list[str]:
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".") and models.is_model(folder / name)]


def _row(entry: Entry, folder: Path, used: dict[str, str]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "language": entry.lang,
        "language_name": entry.lang_text,
        "type": entry.type,
        "bytes": entry.size or None,
        "installed": models.is_model(folder / entry.name),
        "used_for": [language for language, name in used.items() if name == entry.name],
    }


def _own(name: str, folder: Path, used: dict[str, str]) -> dict[str, Any]:
    return _row(Entry(name=name, url=""), folder, used)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    marks = ["installed"] if row["installed"] else []
    marks += [f"used for {language}" for language in row["used_for"]]
    shown = size(row["bytes"]) if row["bytes"] else ""
    return row["name"], row["language"], row["language_name"], row["type"], shown, ", ".join(marks)


def _tell(done: Installed, entry: Entry, *, as_json: bool) -> None:
    if not for_people(as_json=as_json):
        emit(done)
        return
    line(f"{done.path}: {'was there already' if done.already else 'installed'}", "green")
    language = entry.lang.partition("-")[0] or "en"
    warn(f'to use it: [asr] models = {{ {language} = "{done.name}" }}', "")


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """Show a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield nothing
        return
    from rich.console import Console  # noqa: PLC0415 -- pipes do without
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda there, total: bar.update(task, completed=there, total=total or None)
