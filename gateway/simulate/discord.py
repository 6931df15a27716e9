"""`omnigate simulate discord`: interactions as Discord posts them, signed with the private key of your application.

https://docs.discord.com/developers/interactions/receiving-and-responding. Discord's own private key nobody has: make a
pair for yourself (any 64 hexadecimal digits are a private key), and put the public half into the channel's options::

    python -c "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K; \
k = K.from_private_bytes(bytes.fromhex('<private key>')); print(k.public_key().public_bytes_raw().hex())"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from connectors.discord_config import DiscordConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, json_post
from gateway.simulate.discord_cloud import DiscordCloud

PRIVATE_KEY = "private_key"
GUILD, CHANNEL = "290926798626357999", "645027906669510667"
FIRST = 800_000_000_000_000_000


def _id(item: Item) -> str:
    return str(FIRST + item.number)


def _command(item: Item) -> dict[str, Any]:
    option = {"type": 3, "name": "text", "value": item.text}
    return {"type": 2, "data": {"id": "771825006014889984", "name": "ask", "type": 1, "options": [option]}}


def _file(item: Item) -> dict[str, Any]:
    name = f"photo-{item.number}.jpg"
    url = f"https://cdn.discordapp.com/ephemeral-attachments/1/{_id(item)}/{name}?ex=7fffffff&is=65903680&hm=00"
    file = {"id": _id(item), "filename": name, "content_type": "image/jpeg", "size": 20_480, "url": url}
    option = {"type": 11, "name": "picture", "value": _id(item)}
    data = {"id": "771825006014889985", "name": "show", "type": 1, "options": [option]}
    return {"type": 2, "data": {**data, "resolved": {"attachments": {_id(item): file}}}}


def _message(item: Item, *inner: dict[str, Any]) -> dict[str, Any]:
    author = {"id": "645027906669510666", "username": "shop", "bot": True}
    row = {"type": 1, "components": list(inner)}
    return {"id": "860000000000000001", "channel_id": CHANNEL, "type": 0, "content": item.text, "author": author,
            "attachments": [], "components": [row]}  # fmt: skip


def _press(item: Item) -> dict[str, Any]:
    button = {"type": 2, "style": 2, "label": "Yes", "custom_id": "yes"}
    return {"type": 3, "data": {"component_type": 2, "custom_id": "yes"}, "message": _message(item, button)}


def _select(item: Item) -> dict[str, Any]:
    menu = {"type": 3, "custom_id": "list", "options": [{"label": "Small", "value": "s"}]}
    data = {"component_type": 3, "custom_id": "list", "values": ["s"]}
    return {"type": 3, "data": data, "message": _message(item, menu)}


def _form(item: Item) -> dict[str, Any]:
    row = {"type": 1, "components": [{"type": 4, "custom_id": "name", "value": item.text}]}
    return {"type": 5, "data": {"custom_id": "order", "components": [row]}}


_CONTENT: dict[str, Callable[[Item], dict[str, Any]]] = {
    "text": _command,
    "file": _file,
    "press": _press,
    "select": _select,
    "form": _form,
}


class DiscordSimulator(Simulator[DiscordConfig]):
    """One interaction per delivery; the signature covers a time and the body."""

    contents: ClassVar = tuple(_CONTENT)
    signs_time: ClassVar = True
    extras: ClassVar[Mapping[str, str]] = {
        PRIVATE_KEY: "64 hexadecimal digits: the half of `public_key` that Discord keeps to itself"
    }

    def __init__(self, options: DiscordConfig, *, url: str, extra: Mapping[str, str] | None = None) -> None:
        """Play Discord, with a private key of yours; raises `ValueError` without one."""
        super().__init__(options, url=url, extra=extra)
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.extra[PRIVATE_KEY]))
        except (KeyError, ValueError):
            raise ValueError(f"{PRIVATE_KEY} is needed: {self.extras[PRIVATE_KEY]}") from None

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write an interaction in a channel of a server."""
        (item,) = items
        user = {"id": str(53908232506183680 + item.person), "username": f"person{item.person}", "global_name": None}
        head = {
            "application_id": self.options.application_id,
            "id": _id(item),
            "token": f"simulated-token-{item.number}",
            "version": 1,
            "guild_id": GUILD,
            "channel_id": CHANNEL,
            "channel": {"id": CHANNEL, "type": 0, "name": "support"},
            "member": {"user": user, "nick": None, "roles": [], "permissions": "0"},
            "locale": "en-US",
            "context": 0,
        }
        return json_post({**head, **_CONTENT[item.content](item)})

    @override
    def sign(self, request: Request, now: float) -> Request:
        """Sign time and body."""
        at = str(int(now))
        signature = self._key.sign(at.encode() + request.body).hex()
        return request.adding(headers={"X-Signature-Ed25519": signature, "X-Signature-Timestamp": at})

    @override
    def handshake(self, now: float) -> Handshake:
        """Ping, as when the Interactions Endpoint URL is entered."""
        asked = {
            "application_id": self.options.application_id,
            "id": str(FIRST),
            "token": "ping",
            "type": 1,
            "version": 1,
        }
        return Handshake(request=self.sign(json_post(asked), now), body={"type": 1})


SIMULATOR, CLOUD = DiscordSimulator, DiscordCloud
