"""What WeChat's tests have in common: one account, and WeChat that signs for it."""

from __future__ import annotations

import time
from typing import Any

from connectors.secrets import Secret
from connectors.wechat_config import WechatConfig
from gateway.simulate.api import Item, Request
from gateway.simulate.wechat import WechatSimulator
from normalizer.model import ChannelRef

TOKEN, SECRET = "spamtestToken", "4f1c0de5ecbd6a0f7b7c8f7d5b6a3e21"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP_ID = "wx2c2769f8efd9abc2"
CHANNEL = ChannelRef(id="shop-wechat", type="wechat")


def config(*, aes: bool = True, **changes: Any) -> WechatConfig:
    fields: dict[str, Any] = {
        "app_id": APP_ID,
        "app_secret": Secret(SECRET),
        "token": Secret(TOKEN),
        "encoding_aes_key": Secret(AES_KEY) if aes else None,
        "passive_secs": 0,
        **changes,
    }
    return WechatConfig(**fields)


def signed(options: WechatConfig, item: Item | None = None, now: float | None = None) -> Request:
    simulator = WechatSimulator(options, url="")
    return simulator.sign(simulator.delivery([item or Item(number=1, at=time.time())]), now or time.time())
