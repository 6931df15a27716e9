"""What the error codes of WeChat's API mean, and what its answers look like.

https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
"""

from __future__ import annotations

from urllib.parse import urlencode

from msgspec import Struct

from connectors import weixin_api
from connectors.codes import Codes
from connectors.errors import SendError
from connectors.http import Answer
from connectors.weixin_client import Access
from normalizer import build
from normalizer.raw import Wire

CODES = Codes(
    provider="WeChat",
    token=frozenset({40001, 40014, 41001, 42001, 42007}),
    busy=frozenset({-1, 50005, 87009}),
    # Nobody wrote to us within 48 hours (45080: within 30 s, which typing asks for).
    window=frozenset({45015, 45080}),
    # Not one of our followers (any more), unknown to our app, blacklisted, or takes no messages.
    gone=frozenset({40003, 40132, 43004, 43005, 43019, 46004, 48002}),
    # Calls per minute.
    slow={45011: 60.0},
    # 45009: calls per day, where passive replies go on. 45047: messages to this person until it writes again.
    spent=frozenset({45009, 45047}),
    # Our credentials, our rights, or the address we call from (40164, 61004: not in the IP list) are not right.
    ours=frozenset({
        40002, 40013, 40125, 40164, 40243, 41002, 41004, 43002, 48001, 48004, 48006, 50001, 50002, 50004, 61004, 61007,
        89503,
    }),
    hints={
        40013: "check `app_id`",
        40125: "check `app_secret`",
        40164: "add this gateway's address to the IP list of the account",
        61004: "add this gateway's address to the IP list of the account",
        48001: "this account has no right to this interface; it may have to be verified",
        45015: "this person has not written within 48 hours; a template message may still pass",
        45047: "no more messages to this person before it writes again",
    },
)  # fmt: skip


def refusal(answer: Answer, hide: tuple[str, ...]) -> SendError | None:
    """Say what an answer means; None if it is a success. See `weixin_api.refusal`."""
    return weixin_api.refusal(answer, hide, CODES)


class SentTemplate(Struct, frozen=True):
    """The answer to `message/template/send`; other sends name no message."""

    msgid: int | None = None


def access(app_id: str, app_secret: str, *, stable: bool) -> Access:
    """Say how an account gets at its API.

    Args:
        app_id: the AppID.
        app_secret: the AppSecret.
        stable: ask for the token that does not void the one before
            (https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html).
    """
    asked = {"grant_type": "client_credential", "appid": app_id, "secret": app_secret}

    def grant(refused: bool) -> Wire:  # noqa: FBT001 -- the type is `Access.grant`'s
        if stable:
            return build.post("/cgi-bin/stable_token", {**asked, "force_refresh": refused})
        return Wire(method="GET", url=f"/cgi-bin/token?{urlencode(asked)}")

    return Access(provider=CODES.provider, name=f"wechat:{app_id}", grant=grant, refusal=refusal)
