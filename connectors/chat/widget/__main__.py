"""Put the widget together: ``python -m connectors.chat.widget`` writes ``../www/widget.js`` from the files here."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "www" / "widget.js"
SCRIPTS = ("client.js", "parts.js", "view.js", "main.js")


def build() -> str:
    """Return the script that sites load: one function, nothing in the page's scope but ``Omnigate``."""
    strings = json.dumps(json.loads(_read("strings.json")), ensure_ascii=False, separators=(",", ":"))
    css = json.dumps(_read("style.css"), ensure_ascii=False)
    body = "\n".join(_read(name) for name in SCRIPTS)
    head = "// Omnigate web chat. Made by `make widget` from connectors/chat/widget; Apache-2.0.\n"
    return f'{head}(() => {{\n"use strict";\nconst STRINGS = {strings};\nconst CSS = {css};\n{body}}})();\n'


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(build(), encoding="utf-8")
