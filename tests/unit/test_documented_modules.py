"""The table at the head of gateway/README.md names every module, and none that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

GATEWAY = Path(__file__).parents[2] / "gateway"


def modules() -> set[str]:
    files = {path.stem for path in GATEWAY.glob("*.py")} - {"__init__"}
    return files | {f"{path.parent.name}/" for path in GATEWAY.glob("*/__init__.py")}


def named() -> set[str]:
    table = (GATEWAY / "README.md").read_text().partition("\n## ")[0]
    return {name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}


def test_every_module_of_the_gateway_is_named() -> None:
    assert {module for module in modules() if not any(fnmatch(module, name) for name in named())} == set()


def test_every_module_that_is_named_is_there() -> None:
    assert {name for name in named() if not any(fnmatch(module, name) for module in modules())} == set()
