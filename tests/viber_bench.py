"""What Viber's tests have in common: one bot, and Viber that signs for it."""

from __future__ import annotations

import time
from typing import Any

from connectors.secrets import Secret
from connectors.viber_config import ViberConfig
from gateway.simulate.api import Item, Request
from gateway.simulate.viber import ViberSimulator
from normalizer.model import Address, ChannelRef

TOKEN = "445da6az1s345z78-dazcczb2542zv51a-e0vc5fva17480im9"
CHANNEL = ChannelRef(id="shop-viber", type="viber")
ADA = f"{1:022d}=="
"""Who the simulator's first person is."""


def config(**changes: Any) -> ViberConfig:
    return ViberConfig(**{"token": Secret(TOKEN), "sender_name": "Shop", "passive_secs": 0, **changes})


def signed(number: int = 1, content: str = "text", **fields: Any) -> Request:
    simulator = ViberSimulator(config(), url="")
    item = Item(number=number, at=time.time(), content=content, **fields)
    return simulator.sign(simulator.delivery([item]), time.time())


def to(native: str = ADA) -> Address:
    return Address(scheme="viber", value=native)
