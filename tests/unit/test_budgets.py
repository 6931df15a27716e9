"""Modules and functions stay small enough to read in one go."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("gateway", "connectors", "normalizer", "dedup", "asr")
_MODULE_LINES = 300
_FUNCTION_LINES = 50


def _modules() -> Iterator[Path]:
    for package in _PACKAGES:
        yield from sorted((_ROOT / package).rglob("*.py"))


def _functions(module: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{os.path.relpath(module, _ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_no_module_is_longer_than_its_budget() -> None:
    lengths = {str(module.relative_to(_ROOT)): len(module.read_text().splitlines()) for module in _modules()}
    assert lengths
    too_long = {name: lines for name, lines in lengths.items() if lines > _MODULE_LINES}
    assert not too_long, f"split them, the limit is {_MODULE_LINES} lines"


def test_no_function_is_longer_than_its_budget() -> None:
    found = [function for module in _modules() for function in _functions(module)]
    too_long = [f"{name}: {lines} lines" for name, lines in found if lines > _FUNCTION_LINES]
    assert not too_long, f"the limit is {_FUNCTION_LINES} lines"


def test_the_budget_counts_from_def_to_the_last_line(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text("def f():\n    return (\n        1\n    )\n\n\nasync def g(): ...\n")
    assert [lines for _, lines in _functions(module)] == [4, 1]
