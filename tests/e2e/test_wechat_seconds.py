"""WeChat's real five seconds, on two worker processes: a core that needs two seconds, and one that needs six."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from wechatpy.crypto import WeChatCrypto

from gateway.simulate.api import Item
from gateway.simulate.wechat import WechatSimulator
from gateway.simulate.wechat_cloud import WechatCloud
from normalizer.codecs import wechat_xml
from tests.servers.gateway import GatewayProcess
from tests.wechat_bench import AES_KEY, APP_ID, SECRET, TOKEN, config

pytestmark = pytest.mark.slow
WECHAT_SECS = 5.0
CHANNEL = """
[channels.shop-wechat]
kind = "wechat"
app_id = "{app_id}"
app_secret = "env:WECHAT_APP_SECRET"
token = "env:WECHAT_TOKEN"
encoding_aes_key = "env:WECHAT_AES_KEY"
api_base = "{api}"
"""


class Wechat:
    """WeChat: waits five seconds, tries three times in all, counts what a person sees."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = f"{url}/c/shop-wechat", http
        self._simulator, self._crypto = WechatSimulator(config(), url=""), WeChatCrypto(TOKEN, AES_KEY, APP_ID)
        self.tries = 0

    async def tell(self, number: int) -> str | None:
        """Deliver a message of person `number`; returns the passive reply, None for `success`."""
        request = self._simulator.delivery([Item(number=number, at=time.time(), person=number)])
        for _ in range(3):
            self.tries += 1
            signed = self._simulator.sign(request, time.time())
            limit = aiohttp.ClientTimeout(total=WECHAT_SECS)
            try:
                async with self._http.post(
                    self._url, params=signed.query, data=signed.body, headers=signed.headers, timeout=limit
                ) as answer:
                    assert answer.status == 200
                    body = await answer.read()
            except TimeoutError:
                continue
            return None if body == b"success" else self._read(body)
        raise AssertionError("three tries, and no answer")

    def _read(self, body: bytes) -> str:
        fields = wechat_xml.read(body)
        proof = fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"]
        return str(wechat_xml.read(self._crypto.decrypt_message(body, *proof).encode())["Content"])


async def test_two_seconds_are_a_passive_reply_and_six_a_message_by_the_api(
    make_gateway: Callable[..., GatewayProcess],
) -> None:
    quick, slow = (1, 2, 3, 4), (5, 6, 7, 8)
    async with WechatCloud(config()) as cloud, aiohttp.ClientSession() as http:
        environment = {"WECHAT_APP_SECRET": SECRET, "WECHAT_TOKEN": TOKEN, "WECHAT_AES_KEY": AES_KEY}
        channel = CHANNEL.format(app_id=APP_ID, api=cloud.url)
        gateway = await asyncio.to_thread(make_gateway, workers=2, channels=channel, env=environment)
        wechat = Wechat(gateway.url, http)

        async def person(number: int, after: float) -> tuple[str | None, Any]:
            async with asyncio.TaskGroup() as group:
                told = group.create_task(wechat.tell(number))
                await asyncio.sleep(after)
                params = {"channel": "shop-wechat", "to": f"oSimulated{number:06d}", "text": f"for {number}"}
                answer = await asyncio.to_thread(gateway.call, "message.send", params)
            return told.result(), answer["result"]["status"]

        async with asyncio.TaskGroup() as group:
            people = {number: group.create_task(person(number, 2.0)) for number in quick}
            people |= {number: group.create_task(person(number, 6.0)) for number in slow}
        by_api = sorted(call.json()["text"]["content"] for call in cloud.named("send"))
        published = gateway.total("gateway_published_messages_total", channel="shop-wechat")

    assert {number: task.result()[0] for number, task in people.items()} == {
        **{number: f"for {number}" for number in quick},
        **dict.fromkeys(slow),
    }
    assert {task.result()[1] for task in people.values()} == {"sent"}
    assert by_api == [f"for {number}" for number in slow]
    assert wechat.tries == len(people), "everybody was answered at the first try"
    assert published == len(people)
