"""The matrix of what each kind can do says what the capabilities say."""

from __future__ import annotations

import re

import pytest

from connectors import registry
from connectors.api import Capabilities, ChannelConfig
from connectors.registry import Spec
from gateway.settings.matrix import duration, matrix, size


def spec(kind: str, **able: object) -> Spec:
    return Spec(
        kind=kind,
        config=ChannelConfig,
        build=lambda *_: None,  # type: ignore[arg-type] # nothing is built here
        summary=f"The {kind}.",
        capabilities=Capabilities(**able),  # type: ignore[arg-type] # as given
    )


def rows(text: str, heading: str) -> dict[str, list[str]]:
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_registered_kind_stands_in_the_matrix_with_all_it_has() -> None:
    kinds = registry.load()
    text = matrix(kinds)

    for heading, name in (
        ("Content it can send", "parts"),
        ("Requests it answers besides `message.send`", "requests"),
        ("What it tells", "receives"),
    ):
        table = rows(text, heading)
        head = [cell.strip("`") for cell in table[""]]
        for kind, one in kinds.items():
            crossed = {word for word, cells in table.items() if word and cells[head.index(kind)] == "●"}
            assert crossed == set(getattr(one.capabilities, name)), (kind, name)


def test_limits_and_notes_are_shown_where_there_are_any() -> None:
    able = {
        "text_max": 4096,
        "caption_max": 1024,
        "choices": {"buttons": 3, "list": 10},
        "media": {"image": 5 * 1024**2},
        "reply_window_secs": 86_400,
        "passive_secs": 4.5,
        "notes": ("a note",),
    }
    text = matrix({"one": spec("one", **able), "two": spec("two")})
    limits = rows(text, "Limits")

    assert limits["one"] == ["4096 characters", "1024 characters", "buttons 3, list 10", "image 5 MiB", "24 h", "4.5 s"]
    assert limits["two"] == [""] * 6
    assert re.search(r"\*\*one\*\*\n\n- a note\n", text)
    assert "**two**" not in text


@pytest.mark.parametrize(
    ("limit", "words"),
    [(5 * 1024**2, "5 MiB"), (10_000_000, "10 MB"), (512 * 1024, "512 KiB"), (500_000, "500 kB"), (1025, "1025 bytes")],
)
def test_sizes_are_exact(limit: int, words: str) -> None:
    assert size(limit) == words


@pytest.mark.parametrize(
    ("secs", "words"),
    [(172_800, "2 d"), (86_400, "24 h"), (7200, "2 h"), (900, "15 min"), (5.0, "5 s"), (4.5, "4.5 s"), (None, "")],
)
def test_durations_are_exact(secs: float | None, words: str) -> None:
    assert duration(secs) == words
