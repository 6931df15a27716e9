"""Names of reactions (https://open.feishu.cn/document/server-docs/im-v1/message-reaction/emojis-introduce)."""

from __future__ import annotations

EMOJI = {
    "THUMBSUP": "👍", "ThumbsDown": "👎", "HEART": "❤", "HEARTBROKEN": "💔", "LOL": "😂", "SMILE": "🙂", "CLAP": "👏",
    "APPLAUSE": "👏", "Fire": "🔥", "PARTY": "🎉", "THANKS": "🙏", "PRAISE": "🙌", "OK": "👌", "MUSCLE": "💪",
    "DONE": "✅", "CheckMark": "✔", "CrossMark": "❌", "CRY": "😢", "SOB": "😭", "ANGRY": "😡", "THINKING": "🤔",
    "Hundred": "💯", "GLANCE": "👀", "WAVE": "👋", "ROSE": "🌹", "KISS": "😘", "TERROR": "😱", "WOW": "😮",
    "BEER": "🍺", "GIFT": "🎁", "CAKE": "🎂", "BOMB": "💣", "POOP": "💩", "Alarm": "⏰", "BLUSH": "😊", "WINK": "😉",
    "LOVE": "😍", "Coffee": "☕", "Trophy": "🏆", "Pin": "📌", "FACEPALM": "🤦", "SALUTE": "🫡", "SKULL": "💀",
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
