"""What the process asks of the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.tuning import large_pages

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROGRAM = """
import threading, time
from gateway.tuning import large_pages

def kb(name):
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith(name))

for _ in range(20):  # their stacks are 8 MB of which nearly nothing is used
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
kept = [str(number) * 200 for number in range(40_000)]
before = kb("Rss:")
print(large_pages(), kb("AnonHugePages:"), kb("Rss:") - before, all(one == str(n) * 200 for n, one in enumerate(kept)))
"""


@pytest.fixture
def _large_pages_exist() -> None:
    if sys.platform != "linux" or not THP.exists() or "[never]" in THP.read_text():
        pytest.skip("this system has no transparent large pages, or its administrator forbids them")
    if tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 1):
        pytest.skip("this Linux is older than 6.1 and does not know MADV_COLLAPSE")


@pytest.mark.usefixtures("_large_pages_exist")
def test_the_heap_is_in_large_pages_and_holds_what_it_held_and_what_is_not_in_use_takes_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    pages, large_kb, more_kb, intact = done.stdout.split()

    assert int(pages) * 2048 == int(large_kb)
    assert int(pages) >= 10  # the texts alone are 36 MB
    assert int(more_kb) < 8 * 1024
    assert intact == "True"


def test_where_it_is_forbidden_nothing_is_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forbidden = tmp_path / "enabled"
    forbidden.write_text("always madvise [never]\n")
    monkeypatch.setattr("gateway.tuning._THP", forbidden)

    assert large_pages() == 0


def test_a_system_without_them_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.tuning._THP", tmp_path / "missing")

    assert large_pages() == 0
