"""What LINE's tests have in common: one account, and LINE that signs for it."""

from __future__ import annotations

import time
from typing import Any

from connectors.line_config import LineConfig
from connectors.secrets import Secret
from gateway.simulate.api import Item, Request
from gateway.simulate.line import LineSimulator
from normalizer.model import Address, ChannelRef

SECRET, TOKEN = "8c570fa6dd201bb328f1c1eac23a96d8", "ZvdE3rYxSimulatedLongLivedAccessToken"
CHANNEL = ChannelRef(id="shop-line", type="line")
ADA = f"U{1:032x}"
"""Who the simulator's first person is."""


def config(**changes: Any) -> LineConfig:
    return LineConfig(channel_secret=Secret(SECRET), channel_access_token=Secret(TOKEN), **changes)


def signed(*items: Item, again: int = 0) -> Request:
    simulator = LineSimulator(config(), url="")
    request = simulator.delivery(items or [Item(number=1, at=time.time())])
    return simulator.sign(simulator.again(request, again) if again else request, time.time())


def to(native: str = ADA) -> Address:
    return Address(scheme="line", value=native)
