"""What a `wechat` channel is told, and what it can do."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from connectors.api import Capabilities
from connectors.passive_webhook import PassiveConfig
from connectors.secrets import Secret
from normalizer.codecs.wechat_send import MINI_SENDABLE, REQUESTS, SENDABLE, TEXT_MAX

DOCS = "https://developers.weixin.qq.com/doc/offiaccount"
MEGABYTE = 1024 * 1024
SERVICE, MEDIA = "Message_Management/Service_Center_messages.html", "Asset_Management/New_temporary_materials.html"


class WechatConfig(PassiveConfig, frozen=True, kw_only=True):
    """Options of a `wechat` channel; the words are those of the account's page "basic configuration".

    Attributes:
        app_id: AppID of the account.
        app_secret: AppSecret, for the access token.
        token: Token, which signs every delivery.
        encoding_aes_key: EncodingAESKey, 43 characters; needed unless `mode` is ``plain``.
        mode: ``plain``, ``compatible`` (plain or encrypted) or ``aes``, as chosen on the page. By default ``aes`` with
            an `encoding_aes_key` and ``plain`` without. A plain signature does not cover the body: prefer ``aes``.
        mini_program: the account is a mini program, which takes no reply in the HTTP answer.
        stable_token: fetch the access token by `stable_token`, for an account whose token other systems fetch, too.
        identify: ask for the UnionID of people who subscribe, and tell it by `contact.identified`.
        api_base: where the API is; change it for another region, a proxy or a test.
        passive_secs: how long a delivery is held for a reply; WeChat waits for 5 s. 0 answers at once.
    """

    app_id: Annotated[str, Meta(min_length=1)]
    app_secret: Secret
    token: Secret
    encoding_aes_key: Secret | None = None
    mode: Literal["plain", "compatible", "aes"] | None = None
    mini_program: bool = False
    stable_token: bool = False
    identify: bool = True
    api_base: Annotated[str, Meta(pattern=r"^https?://")] = "https://api.weixin.qq.com"
    passive_secs: Annotated[float, Meta(ge=0, lt=5)] = 4.5

    def __post_init__(self) -> None:
        """Check what one option says about another."""
        if self.encoding_aes_key is None and self.mode not in {None, "plain"}:
            raise ValueError(f'`mode = "{self.mode}"` needs `encoding_aes_key`')

    @property
    def accepts(self) -> Literal["plain", "compatible", "aes"]:
        """Return the mode in force."""
        return self.mode or ("plain" if self.encoding_aes_key is None else "aes")


CAPABILITIES = Capabilities(
    receives=(
        "message.received", "message.status", "contact.opted_in", "contact.opted_out", "contact.identified",
        "conversation.started", "conversation.ended", "conversation.referral",
    ),
    parts=SENDABLE,
    requests=REQUESTS,
    text_max=TEXT_MAX,
    media={"image": 10 * MEGABYTE, "audio": 2 * MEGABYTE, "video": 10 * MEGABYTE},
    reply_window_secs=48 * 3600,
    passive_secs=5.0,
    notes=(
        "text_max counts bytes of UTF-8; longer text is split",
        f"a reply within 5 s is free; then 5 messages within 48 h of the person's last ({DOCS}/{SERVICE})",
        f"3 messages within a minute of a menu click, a scan or a subscription ({DOCS}/{SERVICE})",
        f"images as PNG, JPEG or GIF, voices as AMR or MP3 of at most 60 s, videos as MP4 ({DOCS}/{MEDIA})",
        "template variables are name=value; one without a name is keyword1, keyword2 …",
        "in mini programs only text, image and card, and no reply in the HTTP answer",
    ),
)  # fmt: skip
MINI = replace(CAPABILITIES, parts=MINI_SENDABLE, media={"image": 10 * MEGABYTE}, passive_secs=None)
"""Of a mini program."""
