"""What WeChat tells about an account's set-up (`channel.verify`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from connectors.errors import Misconfigured, SendError
from connectors.weixin_client import WeixinClient

CUSTOM_SEND = "/cgi-bin/message/custom/send"
RIGHTS = frozenset({"48001", "48004", "48006", "50001", "50002", "50004"})
"""Codes by which WeChat says that the account may not ask this; the credentials are right all the same."""


async def probe(client: WeixinClient, handshake: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
    """Ask; what the account has no right to ask is told as an error of its own.

    * the access token and how long it lasts;
    * the day's quota of the customer-service API (`openapi/quota/get`);
    * WeChat's servers, for firewalls (`getcallbackip`), and whether they reach ours (`callback/check`);
    * the handshake, done against ourselves.

    https://developers.weixin.qq.com/doc/offiaccount/openApi/get_api_quota.html
    https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_the_WeChat_server_IP_address.html
    https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Network_Detection.html

    Raises:
        SendError: there is no access token to be had, or the one in use is refused and there is no other.
    """
    found: dict[str, Any] = {"access_token": {"expires_in_secs": round(await client.token_secs())}}
    found["handshake"] = "ok" if await handshake() else "failed"
    found["quota"] = await _try(client.post("/cgi-bin/openapi/quota/get", {"cgi_path": CUSTOM_SEND}), "quota")
    found["server_ips"] = await _try(client.get("/cgi-bin/getcallbackip"), "ip_list")
    check = {"action": "all", "check_operator": "DEFAULT"}
    found["callback"] = await _try(client.post("/cgi-bin/callback/check", check))
    return found


async def _try(asked: Awaitable[dict[str, Any]], name: str = "") -> Any:
    try:
        told = await asked
    except SendError as exc:
        if isinstance(exc, Misconfigured) and exc.provider_code not in RIGHTS:
            raise
        return {"error": exc.code, "provider_code": exc.provider_code, "message": str(exc)}
    if name:
        return told.get(name)
    return {key: value for key, value in told.items() if key not in {"errcode", "errmsg"}}
