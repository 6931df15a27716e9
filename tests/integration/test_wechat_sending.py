"""The WeChat connector against WeChat's API as the simulator plays it, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from connectors.errors import (
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.http import TooLarge
from gateway.blobs import BlobStore
from gateway.simulate.api import Item
from gateway.simulate.cloud import json_answer
from gateway.simulate.weixin_cloud import JPEG, told
from normalizer import parts as p
from normalizer.methods import TypingParams
from normalizer.model import Address
from normalizer.parts import AnyPart, Media
from normalizer.raw import Event, Outbound
from tests.kind_lab import Lab, open_lab, post, running
from tests.wechat_bench import AES_KEY, CHANNEL, SECRET, TOKEN, config, signed

ADA = Address(scheme="wechat", value="oAda")


class Account(Lab):
    def report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        self.reports.append((component, reason))


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with open_lab(config(), "wechat", tmp_path, Account) as lab:
        yield lab


def message(*content: AnyPart, **fields: Any) -> Outbound:
    return Outbound(
        **{"id": "msg_1", "channel": CHANNEL, "to": ADA, "parts": content or (p.Text(body="hi"),), **fields}
    )


async def test_one_access_token_serves_all_nodes(account: Account) -> None:
    nodes = [account.node() for _ in range(3)]

    async with asyncio.TaskGroup() as group:
        for number, node in enumerate(nodes):
            group.create_task(node.send(message(id=f"msg_{number}")))

    assert len(account.cloud.named("token")) == 1
    assert len(account.sent()) == 3


@pytest.mark.parametrize("stable", [False, True])
async def test_a_token_that_was_voided_is_renewed_and_the_message_sent_once(account: Account, *, stable: bool) -> None:
    node = account.node(stable_token=stable)
    await node.send(message())
    account.cloud.expire()

    await node.send(message(id="msg_2"))

    name = "stable_token" if stable else "token"
    assert len(account.cloud.named(name)) == 2
    refused = [call.query["access_token"] not in account.cloud.tokens for call in account.cloud.named("send")]
    assert refused == [True, True, False], "the first went through while its token was good"
    if stable:
        assert [call.json()["force_refresh"] for call in account.cloud.named(name)] == [False, True]


async def test_a_token_that_is_refused_again_is_our_fault(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(told(40001, "invalid credential"))
    account.cloud.pass_next()
    account.cloud.fail_next(told(40001, "invalid credential"))

    with pytest.raises(Misconfigured):
        await node.send(message(id="msg_2"))

    assert len(account.cloud.named("token")) == 2


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        (-1, Unreachable, True),
        (45015, WindowClosed, False),
        (45047, Throttled, False),
        (45009, Throttled, False),
        (45011, Throttled, True),
        (40003, RecipientGone, False),
        (43004, RecipientGone, False),
        (43019, RecipientGone, False),
        (48002, RecipientGone, False),
        (48001, Misconfigured, False),
        (40164, Misconfigured, False),
        (40007, Refused, False),
        (45002, Refused, False),
        (99999, Refused, False),
    ],
)
async def test_an_error_code_has_one_meaning(
    account: Account, code: int, kind: type[SendError], *, retryable: bool
) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(told(code, f"words of {code} {SECRET}"))

    with pytest.raises(kind) as caught:
        await node.send(message(id="msg_2"))

    assert caught.value.provider_code == str(code)
    assert caught.value.retryable is retryable
    assert SECRET not in f"{caught.value} {caught.value.provider_text}"


async def test_the_window_the_quota_and_the_recipient_are_told_apart(account: Account) -> None:
    account.cloud.windows.add("oLate")
    account.cloud.gone.add("oGone")
    account.cloud.quota["oMany"] = 1
    node = account.node()
    await node.send(message(to=replace(ADA, value="oMany")))

    found = {}
    for user in ("oLate", "oGone", "oMany"):
        with pytest.raises(SendError) as caught:
            await node.send(message(id=f"msg_{user}", to=replace(ADA, value=user)))
        found[user] = caught.value.code

    assert found == {"oLate": "window_closed", "oGone": "recipient_gone", "oMany": "throttled"}
    assert len(account.sent()) == 4


async def test_wrong_credentials_are_told_as_a_state_of_the_channel(account: Account) -> None:
    account.cloud.options = config(app_id="wxanother")
    node = account.node()
    with pytest.raises(Misconfigured, match="app_id"):
        await node.send(message())
    account.cloud.options = config()
    await node.send(message())

    assert [(component, reason is None) for component, reason in account.reports] == [
        ("access_token", False),
        ("access_token", True),
    ]


async def test_a_message_of_many_calls_goes_on_where_it_was_broken_off(account: Account) -> None:
    node = account.node()
    long = message(p.Text(body="1" * 2048), p.Text(body="2"), p.Text(body="3"))
    await node.send(message(id="msg_0"))
    account.cloud.pass_next()
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(long)

    await node.send(long)

    assert [body["text"]["content"][:1] for body in account.sent()] == ["h", "1", "2", "2", "3"]


async def test_a_file_of_ours_is_uploaded_once_however_often_the_message_is_tried(account: Account) -> None:
    ref = await BlobStore(account.folder).put(JPEG)
    picture = Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/jpeg", name="küche")
    node = account.node()
    await node.send(message(id="msg_0"))
    account.cloud.pass_next()
    account.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(message(p.Image(media=picture)))
    await node.send(message(p.Image(media=picture)))

    (upload,) = account.cloud.named("upload")
    assert upload.query["type"] == "image"
    assert upload.files["media"] == ("image.jpg", "image/jpeg", JPEG)
    assert account.sent()[-1] == {"touser": "oAda", "msgtype": "image", "image": {"media_id": "MEDIA_1"}}


async def test_a_file_of_somebody_else_is_fetched_and_uploaded(account: Account) -> None:
    film = Media(id="m", status="stored", url=f"{account.cloud.url}/video/1", mime="video/mp4", name="A film")

    await account.node().send(message(p.Video(media=film)))

    assert account.cloud.named("upload")[0].query["type"] == "video"
    assert account.sent()[-1]["video"] == {"media_id": "MEDIA_1", "title": "A film"}


async def test_the_picture_of_a_card_is_linked(account: Account) -> None:
    ref = await BlobStore(account.folder).put(JPEG)
    picture = Media(id="m", status="stored", sha256=ref.removeprefix("sha256:"), mime="image/jpeg")

    await account.node().send(message(p.Card(items=(p.CardItem(title="New", media=picture),))))

    (article,) = account.sent()[-1]["news"]["articles"]
    assert article["picurl"].startswith("https://gw.example/media/")
    assert account.cloud.named("upload") == []


@pytest.mark.parametrize(
    ("part", "size"),
    [(p.Audio(media=Media(id="m", status="stored", mime="audio/ogg")), 1),
     (p.Audio(media=Media(id="m", status="stored", mime="audio/amr")), 2 * 1024 * 1024 + 1)],
)  # fmt: skip
async def test_what_wechat_takes_no_file_of_is_refused_before_it_is_sent(
    account: Account, part: p.Audio, size: int
) -> None:
    ref = await BlobStore(account.folder).put(b"x" * size)
    media = replace(part.media, sha256=ref.removeprefix("sha256:"))

    with pytest.raises(Refused, match="WeChat takes"):
        await account.node().send(message(replace(part, media=media)))

    assert account.cloud.named("upload") == []


async def test_media_come_down_as_file_as_video_url_and_as_error(account: Account) -> None:
    account.cloud.videos.add("film")
    node = account.node()

    async def fetch(native: str, max_bytes: int = 1000) -> Any:
        media = Media(id="m", status="pending", provider_id=native)
        return await node.fetch_media(media, max_bytes=max_bytes)

    picture = await fetch("simulated-1")
    film = await fetch("film")
    with pytest.raises(Refused) as gone:
        await fetch("expired")
    with pytest.raises(TooLarge):
        await fetch("simulated-1", max_bytes=3)

    assert (picture.data, picture.mime, picture.name) == (JPEG, "image/jpeg", "simulated-1.jpg")
    assert film.mime == "video/mp4"
    assert b"ftyp" in film.data
    assert gone.value.provider_code == "40007"


async def test_a_template_message_is_known_by_its_id(account: Account) -> None:
    sent = await account.node().send(message(p.Template(name="tpl", language="zh_CN", variables=("a",))))

    assert sent.provider_ids == ("1",)


async def test_typing_is_shown_and_shown_already_is_fine(account: Account) -> None:
    node = account.node()
    await node.perform("typing.send", TypingParams(channel="shop-wechat", to=ADA))
    account.cloud.fail_next(told(45081, "already typing"))

    await node.perform("typing.send", TypingParams(channel="shop-wechat", to=ADA))

    assert account.cloud.named("typing")[0].json() == {"touser": "oAda", "command": "Typing"}


async def test_the_doctor_tells_token_quota_addresses_and_handshake(account: Account) -> None:
    found = await account.node().probe()

    assert 7000 < found["access_token"]["expires_in_secs"] <= 7200
    assert found["handshake"] == "ok"
    assert found["quota"]["remain"] == 500_000
    assert found["server_ips"] == ["203.0.113.1", "203.0.113.2"]
    assert found["callback"]["ping"][0]["package_loss"] == "0%"


async def test_the_doctor_tells_what_it_may_not_ask(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(told(48001, "api unauthorized"))

    found = await node.probe()

    assert found["quota"]["provider_code"] == "48001"
    assert found["server_ips"]


async def test_the_doctor_notices_a_secret_that_was_changed_while_the_token_still_lasts(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.expire()
    account.cloud.pass_next()
    account.cloud.fail_next(told(40125, "invalid appsecret"))

    with pytest.raises(Misconfigured, match="app_secret"):
        await node.probe()


async def test_who_subscribes_is_identified_by_the_union_id(account: Account) -> None:
    account.cloud.unions["oSimulated000001"] = "uAda"
    node = account.node()
    async with running(node) as taken:
        item = Item(number=1, at=time.time(), content="subscribe")
        assert (await post(node, signed(node.config, item))).body == b"success"
        async with asyncio.timeout(20):
            while len(taken) < 2:
                await asyncio.sleep(0.01)

    subscribed, identified = (next(iter(node.codec.decode(raw))) for raw in taken)
    assert isinstance(subscribed, Event)
    assert isinstance(identified, Event)
    assert (subscribed.method, identified.method) == ("contact.opted_in", "contact.identified")
    sender = msgspec.to_builtins(identified.params)["from"]
    assert list(sender["addresses"]) == [
        {"scheme": "wechat", "value": "oSimulated000001"},
        {"scheme": "wechat-unionid", "value": "uAda"},
    ]
    assert sender["id"] == msgspec.to_builtins(subscribed.params)["from"]["id"]


async def test_an_account_without_the_right_is_asked_about_one_person_only(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(told(48001, "api unauthorized"))
    async with running(node) as taken:
        for number in (1, 2):
            item = Item(number=number, at=time.time(), content="subscribe", person=number)
            await post(node, signed(node.config, item))
            await asyncio.sleep(0.1)

    assert len(account.cloud.named("user")) == 1
    assert len(taken) == 2


async def test_what_answers_is_not_wechat(account: Account) -> None:
    node = account.node()
    await node.send(message())
    account.cloud.fail_next(replace(json_answer({}), body=b"<html>welcome</html>"))

    with pytest.raises(Unreachable, match="api_base"):
        await node.send(message(id="msg_2"))


async def test_no_error_shows_a_secret(account: Account) -> None:
    node = account.node()
    await node.send(message())
    secrets = (SECRET, TOKEN, AES_KEY, account.cloud.tokens[-1])
    account.cloud.fail_next(told(40008, " ".join(secrets)))

    with pytest.raises(SendError) as caught:
        await node.send(message(id="msg_2"))

    said = f"{caught.value!r} {caught.value.provider_text}"
    assert [secret for secret in secrets if secret in said] == []
