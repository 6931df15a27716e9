"""Two kinds of channel of the tests' own, registered nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from connectors.api import Capabilities, ChannelConfig
from connectors.registry import Spec
from connectors.secrets import Secret


class Hmac(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme", tag="hmac"):
    header: str
    secret: Secret


class Token(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="scheme", tag="token"):
    secret: Secret


class Listener(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:2525"
    listen_tls: str | None = None
    max_size: Annotated[int, Meta(gt=0)] = 10


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str = ""
    priority: int

    def __post_init__(self) -> None:
        if self.priority == 13:
            raise ValueError("13 is not a priority")


class ShopConfig(ChannelConfig, frozen=True, kw_only=True):
    """Options of a shop.

    Attributes:
        token: what the shop proves itself with.
    """

    token: Secret
    verify: Literal["none"] | Hmac | Token = "none"
    rules: tuple[Rule, ...] = ()
    named: dict[str, Rule] = {}
    fallback: Rule | None = None
    mode: Literal["push", "poll"] = "push"
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    words: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    sizes: dict[str, int] = {}


class PostConfig(ChannelConfig, frozen=True, kw_only=True):
    """Options of a post office."""

    smtp: Listener = Listener()
    at: str | int = 0


def _spec(kind: str, config: type[ChannelConfig]) -> Spec:
    return Spec(kind=kind, config=config, build=None, summary=f"The {kind}.", capabilities=Capabilities())  # type: ignore[arg-type]


KINDS = {"shop": _spec("shop", ShopConfig), "post": _spec("post", PostConfig)}
