from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway.settings.watch import watch

SOON = 10.0


class Watched:
    """A watcher with its generator started, so that a change is made after it looks."""

    def __init__(self, seen: asyncio.Queue[None]) -> None:
        self._seen = seen

    async def notices(self, change: Callable[[], object]) -> None:
        await asyncio.sleep(0.3)  # the watcher's thread registers with the kernel
        change()
        async with asyncio.timeout(SOON):
            await self._seen.get()

    async def ignores(self, change: Callable[[], object]) -> None:
        await asyncio.sleep(0.3)
        change()
        await asyncio.sleep(0.6)
        assert self._seen.empty()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    (tmp_path / "channels").mkdir()
    (tmp_path / "gw.toml").write_text('include = ["channels/*.toml", "later/*.toml"]', encoding="utf-8")
    (tmp_path / "channels/a.toml").write_text('[channels.a]\ntoken = "file:../keys/token"', encoding="utf-8")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/token").write_text("one", encoding="utf-8")
    seen: asyncio.Queue[None] = asyncio.Queue()

    async def follow() -> None:
        async with aclosing(watch(tmp_path / "gw.toml")) as changes:
            async for _ in changes:
                seen.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        yield Watched(seen)
        task.cancel()


async def test_a_changed_file_is_noticed(watched: Watched, tmp_path: Path) -> None:
    await watched.notices(lambda: (tmp_path / "channels/a.toml").write_text("[channels.a]", encoding="utf-8"))
    await watched.notices(lambda: (tmp_path / "gw.toml").write_text("[http", encoding="utf-8"))
    await watched.notices(lambda: (tmp_path / "gw.toml").write_text("[http]", encoding="utf-8"))


async def test_a_file_that_an_editor_replaces_is_noticed(watched: Watched, tmp_path: Path) -> None:
    new = tmp_path / ".gw.toml.swp"
    new.write_text("[http]", encoding="utf-8")

    await watched.notices(lambda: new.replace(tmp_path / "gw.toml"))


async def test_a_file_dropped_in_or_removed_is_noticed(watched: Watched, tmp_path: Path) -> None:
    await watched.notices(lambda: (tmp_path / "channels/b.toml").write_text("", encoding="utf-8"))
    await watched.notices((tmp_path / "channels/b.toml").unlink)


async def test_a_folder_that_appears_later_is_noticed(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()

    await watched.notices(lambda: (tmp_path / "later/c.toml").write_text("", encoding="utf-8"))


async def test_a_new_secret_is_noticed(watched: Watched, tmp_path: Path) -> None:
    await watched.notices(lambda: (tmp_path / "keys/token").write_text("two", encoding="utf-8"))


async def test_other_files_are_none_of_its_business(watched: Watched, tmp_path: Path) -> None:
    await watched.ignores(lambda: (tmp_path / "channels/a.toml.example").write_text("x", encoding="utf-8"))


async def test_a_swapped_symbolic_link_is_noticed(tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gw.toml").write_text(f"# {name}", encoding="utf-8")
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "gw.toml").symlink_to("data/gw.toml")

    async with aclosing(watch(tmp_path / "gw.toml", look_anyway_ms=200)) as changes, asyncio.TaskGroup() as group:
        seen = group.create_task(anext(changes))
        await asyncio.sleep(0.3)
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").replace(tmp_path / "data")
        async with asyncio.timeout(SOON):
            await seen


async def test_whoever_read_the_files_earlier_is_told_once_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "gw.toml"
    path.write_text("", encoding="utf-8")
    async with asyncio.timeout(SOON), aclosing(watch(path, look_anyway_ms=100, at_once=True)) as changes:
        await anext(changes)
        path.write_text("[http]", encoding="utf-8")  # also what happens right after the look is seen
        await anext(changes)
