"""WeCom's customer-service API: pulling with a cursor, messages within their window, greetings, customers."""

from __future__ import annotations

from typing import Any

import msgspec

from connectors.api import ChannelConfig
from gateway.simulate.cloud import Answer, Call, route
from gateway.simulate.wecom_cloud import WecomBase
from gateway.simulate.wecom_kf_items import ACCOUNT, MARK, items_of, written
from gateway.simulate.weixin_cloud import told

PAGE_MAX = 1000
MENU_MAX = 10
TYPES = frozenset({"text", "image", "voice", "video", "file", "link", "miniprogram", "msgmenu", "location"})


class WecomKfCloud(WecomBase):
    """See `Cloud`.

    Attributes:
        accounts: customer-service accounts; those that are poked for join by themselves.
        page: most items in one answer.
        empty_first: how many pages without any item come before the next ones, with `has_more`.
        closed: customers whose 48 hours are over.
        quota: messages that may still be sent to a customer; those not named have no limit.
        unions: external_userid → UnionID.
        pulls: cursors that were asked for, by account.
    """

    def __init__(self, options: ChannelConfig | None = None, *, seed: int | None = None) -> None:
        """Know the app of `options`."""
        super().__init__(options, seed=seed)
        self.accounts: list[str] = []
        self.page, self.empty_first = PAGE_MAX, 0
        self.closed: set[str] = set()
        self.quota: dict[str, int] = {}
        self.unions: dict[str, str] = {}
        self.pulls: list[tuple[str, str]] = []
        self._logs: dict[str, list[Any]] = {}
        self._seen: set[tuple[str, int]] = set()
        self._given: set[str] = set()
        self._codes: set[str] = set()

    def happened(self, *items: Any, account: str = ACCOUNT) -> None:
        """Add items to what can be pulled, as they shall be given out."""
        if account not in self.accounts:
            self.accounts.append(account)
        self._logs.setdefault(account, []).extend(items)

    @route("POST", "/cgi-bin/kf/sync_msg")
    def sync(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/94670."""
        body = call.json()
        account, token, cursor = str(body.get("open_kfid", "")), str(body.get("token", "")), str(body.get("cursor", ""))
        if not account:
            return told(95000, "invalid open_kfid")
        self.pulls.append((account, cursor))
        if token and (refused := self._poked(account, token)) is not None:
            return refused
        log = self._logs.get(account, [])
        start = int(cursor.removeprefix("cursor-")) if cursor.removeprefix("cursor-").isdecimal() else 0
        if self.empty_first > 0:
            self.empty_first -= 1
            return told(0, "ok", next_cursor=f"cursor-{'0' * (1 + self.empty_first)}{start}", has_more=1, msg_list=[])
        size = min(self.page, int(body.get("limit") or PAGE_MAX), PAGE_MAX)
        items = log[start : start + size]
        end = start + len(items)
        return told(0, "ok", next_cursor=f"cursor-{end}", has_more=int(end < len(log)), msg_list=items)

    def _poked(self, account: str, token: str) -> Answer | None:
        items = items_of(token) if token.startswith(MARK) else None
        if items is None:
            return told(95007, "invalid msg token")
        new = [item for item in items if (account, item.number) not in self._seen]
        self._seen |= {(account, item.number) for item in new}
        self.happened(*(written(item, account) for item in new), account=account)
        return None

    @route("POST", "/cgi-bin/kf/account/list")
    def account_list(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/94661."""
        rows = [
            {"open_kfid": name, "name": "Simulated", "avatar": "", "manage_privilege": True} for name in self.accounts
        ]
        return told(0, "ok", account_list=rows)

    @route("POST", "/cgi-bin/kf/send_msg")
    def send(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/94677."""
        body = call.json()
        customer = str(body.get("touser", ""))
        if not customer or customer in self.gone:
            return told(40096, "invalid external userid")
        if not body.get("open_kfid"):
            return told(95000, "invalid open_kfid")
        if customer in self.closed:
            return told(95002, "send msg time limit")
        if self.quota.setdefault(customer, 1_000_000) <= 0:
            return told(95001, "send msg count limit")
        answer = self._taken(body)
        self.quota[customer] -= 1
        return answer

    @route("POST", "/cgi-bin/kf/send_msg_on_event")
    def greet(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/95122: each code once."""
        body = call.json()
        code = str(body.get("code", ""))
        if not code or code in self._codes or body.get("msgtype") not in {"text", "msgmenu"}:
            return told(95034, "invalid code")
        self._codes.add(code)
        return self._taken(body)

    def _taken(self, body: dict[str, Any]) -> Answer:
        if body.get("msgtype") not in TYPES:
            return told(40008, "invalid message type")
        complaint = self.complaint(body)
        if complaint is not None:
            return complaint
        if body["msgtype"] == "msgmenu" and not 0 < len(body["msgmenu"].get("list", [])) <= MENU_MAX:
            return told(95008, "invalid menu")
        if body["msgtype"] == "link" and not (body["link"].get("url") and body["link"].get("thumb_media_id")):
            return told(40058, "invalid link")
        native = str(body.get("msgid") or self.next_id("kf-"))
        if native in self._given or len(native.encode()) > 32:
            return told(40058, "invalid Request Parameter: msgid")
        self._given.add(native)
        return told(0, "ok", msgid=native)

    @route("POST", "/cgi-bin/kf/customer/batchget")
    def customers(self, call: Call) -> Answer:
        """https://developer.work.weixin.qq.com/document/path/95159."""
        wanted = msgspec.convert(call.json().get("external_userid_list", []), list[str])
        if not 0 < len(wanted) <= 100:
            return told(40058, "invalid external_userid_list")
        rows = [{"external_userid": one, "nickname": f"Customer {one[-6:]}", "gender": 0} for one in wanted]
        rows = [
            {**row, **({"unionid": self.unions[one]} if one in self.unions else {})}
            for row, one in zip(rows, wanted, strict=True)
        ]
        return told(0, "ok", customer_list=rows, invalid_external_userid=[])
