"""The kind ``chat``: a web chat by WebSocket and long polling; `PROTOCOL.md` is for those who write clients."""

from __future__ import annotations

from connectors.chat.channel import ChatChannel
from connectors.chat.config import ChatConfig, JwtConfig

__all__ = ["ChatChannel", "ChatConfig", "JwtConfig"]
