"""Names of reactions (https://open.feishu.cn/document/server-docs/im-v1/message-reaction/emojis-introduce)."""

from __future__ import annotations

EMOJI = {
    "THUMBSUP": "👍", "ThumbsDown": "👎", "HEART": "❤", "LOL": "😂", "SMILE": "🙂", "CLAP": "👏", "APPLAUSE": "👏",
    "FIRE": "🔥", "PARTY": "🎉", "THANKS": "🙏", "PRAISE": "🙌", "OK": "👌", "MUSCLE": "💪", "Fire": "🔥",
    "DONE": "✅", "CheckMark": "✅", "CrossMark": "❌", "CRY": "😢", "SOB": "😭", "ANGRY": "😡", "THINKING": "🤔",
    "HUNDRED": "💯", "Hundred": "💯", "EYES": "👀", "GLANCE": "👀", "WAVE": "👋", "ROSE": "🌹", "KISS": "😘",
    "SHOCKED": "😱", "WOW": "😮", "BEER": "🍺", "GIFT": "🎁", "CAKE": "🎂", "BROKENHEART": "💔", "BOMB": "💣",
    "POOP": "💩", "Alarm": "⏰", "QUESTION": "❓", "BLUSH": "😊", "WINK": "😉", "LOVE": "😍", "COOL": "😎",
}  # fmt: skip
"""The usual reactions; others keep Feishu's name between colons."""

_NAMES = {char: name for name, char in reversed(EMOJI.items())}
_VARIATION = "\ufe0f"


def emoji(name: str) -> str:
    """Name a reaction as other channels do, where Feishu's name is a usual one."""
    return EMOJI.get(name, f":{name}:")


def emoji_name(told: str) -> str:
    """Return Feishu's name of a reaction given as character, as ``:NAME:`` or as bare name."""
    return _NAMES.get(told.replace(_VARIATION, ""), told.strip(":"))
