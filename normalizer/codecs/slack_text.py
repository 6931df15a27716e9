"""Slack's own mark-up, both ways, and names of emoji.

https://docs.slack.dev/messaging/formatting-message-text#escaping
"""

from __future__ import annotations

import re

_ENTITY = re.compile(r"<([^<>]+)>")
_LINK = re.compile(r"(?:https?|mailto|tel|slack|ftp):", re.IGNORECASE)
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))

EMOJI = {
    "+1": "👍", "thumbsup": "👍", "-1": "👎", "thumbsdown": "👎", "heart": "❤", "joy": "😂", "tada": "🎉",
    "pray": "🙏", "clap": "👏", "fire": "🔥", "eyes": "👀", "raised_hands": "🙌", "ok_hand": "👌", "wave": "👋",
    "white_check_mark": "✅", "x": "❌", "cry": "😢", "open_mouth": "😮", "rage": "😡", "thinking_face": "🤔",
    "100": "💯", "rocket": "🚀", "star": "⭐", "smile": "😄", "question": "❓", "warning": "⚠",
}  # fmt: skip
"""The usual reactions; others keep Slack's name between colons, and custom emoji have nothing else."""

_NAMES = {char: name for name, char in reversed(EMOJI.items())}
_VARIATION = "\ufe0f"


def decode(text: str) -> str:
    """Write Slack's text as a person reads it: mentions and links spelled out, entities resolved."""
    plain = _ENTITY.sub(lambda found: _entity(found[1]), text)
    for escaped, char in _ESCAPES:
        plain = plain.replace(escaped, char)
    return plain


def _entity(inner: str) -> str:
    target, bar, label = inner.partition("|")
    if target.startswith("!date^"):
        return label
    if target[:1] in {"@", "#"}:
        return target[0] + (label or target[1:])
    if target.startswith("!"):
        name = label.removeprefix("@") or target[1:].partition("^")[0]
        return f"@{name}"
    if not _LINK.match(target):
        return f"<{inner}>"
    address = target.removeprefix("mailto:").removeprefix("tel:")
    same = not bar or label in {target, address, target.partition("://")[2]}
    return address if same else f"{label} ({address})"


def escape(text: str) -> str:
    """Write text so that Slack shows it as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """Write a link; what would end it is encoded."""
    target = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{target}|{escape(label).replace('|', '¦')}>"


def emoji(name: str) -> str:
    """Name a reaction as other channels do, where Slack's name is a usual one."""
    return EMOJI.get(name, f":{name}:")


def emoji_name(told: str) -> str:
    """Return Slack's name of a reaction given as character, as ``:name:`` or as bare name."""
    return _NAMES.get(told.replace(_VARIATION, ""), told.strip(":") if ":" in told else told)
