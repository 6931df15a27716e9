"""`omnigate simulate wecom-kf`: pokes; the cloud side gives out what they are about.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from connectors.wecom_kf import WecomKfConfig
from gateway.simulate.api import Handshake, Item, Request, Simulator, raw_post
from gateway.simulate.wecom import MALFORMED, XML, handshake, sealed
from gateway.simulate.wecom_kf_cloud import WecomKfCloud
from gateway.simulate.wecom_kf_items import ACCOUNT, CONTENTS, LATELY, token_of, written
from normalizer.codecs import wechat_xml


class WecomKfSimulator(Simulator[WecomKfConfig]):
    """One poke for each thing that happens; its token tells `WecomKfCloud` what that was, and what was lately.

    A gateway follows the last of many pokes; where ``--reorder`` made that an older one, the rest comes with the next.
    """

    contents: ClassVar = CONTENTS
    tail: ClassVar = b"x"
    signs_time: ClassVar = True
    pulled: ClassVar = True

    def __init__(self, options: WecomKfConfig, *, url: str, extra: Mapping[str, str] | None = None) -> None:
        """See `Simulator`."""
        super().__init__(options, url=url, extra=extra)
        self._lately: deque[Item] = deque(maxlen=LATELY)

    @override
    def delivery(self, items: Sequence[Item]) -> Request:
        """Write a poke; its token carries what happened lately, unless the cloud side is here to be told."""
        (item,) = items
        account = self.options.open_kfid or ACCOUNT
        if isinstance(self.cloud, WecomKfCloud):
            self.cloud.happened(written(item, account), account=account)
        else:
            self._lately.append(item)
        fields = {
            "ToUserName": self.options.corp_id,
            "CreateTime": int(item.at),
            "MsgType": "event",
            "Event": "kf_msg_or_event",
            "Token": token_of(self._lately),
            "OpenKfId": account,
        }
        return raw_post(wechat_xml.write(fields), XML)

    @override
    def sign(self, request: Request, now: float) -> Request:
        return sealed(request, **self._keys(now), head={})

    @override
    def malformed(self, number: int) -> Request:
        return raw_post(MALFORMED[number % len(MALFORMED)], XML)

    @override
    def handshake(self, now: float) -> Handshake:
        return handshake(**self._keys(now))

    def _keys(self, now: float) -> dict[str, Any]:
        options = self.options
        key = options.encoding_aes_key.reveal()
        return {"token": options.token.reveal(), "key": key, "corp_id": options.corp_id, "now": now}


SIMULATOR, CLOUD = WecomKfSimulator, WecomKfCloud
