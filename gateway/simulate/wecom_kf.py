"""`omnigate simulate wecom-kf`: pokes; the cloud side gives out what they are about.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import ClassVar

from typing_extensions import override

from connectors.wecom_kf import WecomKfConfig
from gateway.simulate.api import Item, Request, raw_post
from gateway.simulate.wecom import XML, Callbacks
from gateway.simulate.wecom_kf_cloud import WecomKfCloud
from gateway.simulate.wecom_kf_items import ACCOUNT, CONTENTS, LATELY, token_of, written
from normalizer.codecs import wechat_xml


class WecomKfSimulator(Callbacks[WecomKfConfig]):
    """One poke for each thing that happens; its token tells `WecomKfCloud` what that was, and what was lately.

    A gateway follows the last of many pokes; where ``--reorder`` made that an older one, the rest comes with the next.
    """

    contents: ClassVar = CONTENTS
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


SIMULATOR, CLOUD = WecomKfSimulator, WecomKfCloud
