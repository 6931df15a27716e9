"""WeCom customer service against WeCom as the simulator plays it: pokes, pulling, greeting, sending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from wechatpy.enterprise.crypto import WeChatCrypto

from connectors.api import Receipt
from connectors.errors import (
    Busy,
    Misconfigured,
    RecipientGone,
    Refused,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.secrets import Secret
from connectors.wecom_kf import WecomKfConfig
from dedup.embedded import EmbeddedDeduplicator
from gateway.simulate import registry as simulators
from gateway.simulate.api import Item, Request, raw_post
from gateway.simulate.cloud import json_answer
from gateway.simulate.wecom_kf_items import ACCOUNT, items_of, token_of, written
from gateway.simulate.weixin_cloud import told
from normalizer import parts as p
from normalizer.codecs import wechat_xml
from normalizer.errors import MalformedPayload, Unsendable
from normalizer.parts import Media
from normalizer.raw import RawEvent
from tests.contexts import make_context
from tests.kind_lab import JPEG, Lab, events, open_lab, post, running, until

CORP, SECRET = "ww12345678910", "p2Jx8cQ5wRt0vYz3bNm6kLs9dFg1hAe4uIoXiBvCqWE"
TOKEN, KEY = "hJqcu3uJ9Tn2gXPmxx2w9kkCkCE2EPYo", "6qkdMrq68nTKduznJYO1A37W2oEgpkMUvkttRToqhUt"
OPTIONS = WecomKfConfig(
    corp_id=CORP, secret=Secret(SECRET), token=Secret(TOKEN), encoding_aes_key=Secret(KEY), identify=False
)
EMPTY = token_of(())
"""A token of the simulator that tells of nothing new."""
ADA = f"{ACCOUNT}/wmSimulated000001"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(OPTIONS, "wecom-kf", tmp_path) as opened:
        yield opened


def poke(lab: Lab, *items: Any) -> Request:
    """Let things happen, and write the poke about them."""
    lab.cloud.happened(*items)
    simulator = lab.simulator()
    simulator.cloud = lab.cloud
    return simulator.sign(simulator.delivery([Item(number=999, at=time.time())]), time.time())


def bare_poke(lab: Lab, token: str = EMPTY) -> Request:
    simulator = lab.simulator()
    fields = {"MsgType": "event", "Event": "kf_msg_or_event", "Token": token, "OpenKfId": ACCOUNT}
    return simulator.sign(raw_post(wechat_xml.write({"ToUserName": CORP, **fields}), "text/xml"), time.time())


def texts(node: Any, taken: list[RawEvent]) -> list[str]:
    return [event.params.message.text for event in events(node, taken) if event.method == "message.received"]  # type: ignore[attr-defined]


def said(*words: str, start: int = 1) -> list[Any]:
    return [written(Item(number=start + index, at=time.time(), text=word)) for index, word in enumerate(words)]


async def test_wechatpy_pokes_and_the_message_is_pulled(lab: Lab) -> None:
    lab.cloud.happened(*said("你好"))
    timestamp, nonce = str(int(time.time())), "1372623149"
    body = (
        f"<xml><ToUserName>{CORP}</ToUserName><CreateTime>1348831860</CreateTime><MsgType>event</MsgType>"
        f"<Event>kf_msg_or_event</Event><Token>{EMPTY}</Token><OpenKfId>{ACCOUNT}</OpenKfId></xml>"
    )
    sealed = WeChatCrypto(TOKEN, KEY, CORP).encrypt_message(body, nonce, timestamp)
    proof = wechat_xml.read(sealed.encode())["MsgSignature"]
    query = {"msg_signature": proof, "timestamp": timestamp, "nonce": nonce}
    node = lab.node()

    async with running(node) as taken:
        reply = await post(node, raw_post(sealed.encode(), "text/xml").adding(query=query))
        await until(lambda: texts(node, taken))

    assert (reply.status, reply.body) == (200, b"success")
    assert texts(node, taken) == ["你好"]


async def test_nothing_is_pulled_twice_and_nothing_left_out(lab: Lab) -> None:
    lab.cloud.page = 2
    node = lab.node()
    async with running(node) as taken:
        await post(node, poke(lab, *said("a", "b", "c", "d", "e")))
        await until(lambda: len(texts(node, taken)) == 6)
        await post(node, poke(lab, *said("f", start=20)))
        await until(lambda: len(texts(node, taken)) == 8)

    assert texts(node, taken) == ["a", "b", "c", "d", "e", "Hello from the simulator", "f", "Hello from the simulator"]


async def test_an_empty_page_is_not_the_end(lab: Lab) -> None:
    lab.cloud.empty_first = 3
    node = lab.node()
    async with running(node) as taken:
        await post(node, poke(lab, *said("a")))
        await until(lambda: len(texts(node, taken)) == 2)


async def test_a_bad_item_is_handed_over_alone_and_the_others_go_on(lab: Lab) -> None:
    good, worse = said("a", "b")
    bad = {"msgid": ["wrong type"], "msgtype": "text"}
    node = lab.node()
    async with running(node) as taken:
        await post(node, poke(lab, good, bad, "no object", worse))
        await until(lambda: sum(raw.meta.get("api") == "kf/sync_msg" for raw in taken) == 5)

    fates = []
    for raw in taken:
        try:
            fates.append([type(one).__name__ for one in node.codec.decode(raw)])
        except MalformedPayload:
            fates.append(["malformed"])
    assert sorted(map(str, fates)) == sorted(
        map(str, [["Ignored"], ["Event"], ["malformed"], ["malformed"], ["Event"], ["Event"]])
    )


async def test_the_cursor_moves_only_after_the_pipeline_has_the_page(lab: Lab) -> None:
    """A node dies in the middle of a page: the next one pulls the page again, and goes on."""
    seen: list[RawEvent] = []

    async def dying(raw: RawEvent) -> Receipt:
        if raw.meta:
            seen.append(raw)
            if len(seen) == 2:
                raise RuntimeError("killed")
        return Receipt.ACCEPTED

    first, second = lab.node(), lab.node()

    async def die() -> None:
        async with running(first, dying):
            await post(first, poke(lab, *said("a", "b", "c")))
            await asyncio.sleep(5)

    with pytest.raises(ExceptionGroup):
        await die()
    assert all(raw.noted for raw in seen), "the cursor moves afterwards, so the receipt has to wait for the commit"
    async with running(second) as taken:  # nobody pokes it: the poke is still written down
        await until(lambda: len(texts(second, taken)) == 4)

    assert texts(second, taken) == ["a", "b", "c", "Hello from the simulator"]
    assert lab.cloud.pulls[-1] == (ACCOUNT, ""), "the cursor stayed where it was"


async def test_a_poke_survives_the_node_that_took_it(lab: Lab, tmp_path: Path) -> None:
    lab.cloud.happened(*said("a"))
    first = lab.node()
    lab.cloud.fail_next(500, times=10)  # the node cannot pull, and is stopped
    async with running(first):
        assert (await post(first, bare_poke(lab))).status == 200
        await asyncio.sleep(0.05)
    lab.cloud.fail_no_more()
    await lab.store.close()
    lab.store = EmbeddedDeduplicator(tmp_path / "dedup.db")  # a restart of everything
    await lab.store.open()
    second = lab.node()
    async with running(second) as taken:
        await until(lambda: texts(second, taken) == ["a"])
    await lab.store.close()


async def test_a_poke_is_not_acknowledged_before_it_is_written_down(lab: Lab) -> None:
    node = lab.node()
    async with running(node) as taken:
        await lab.store.close()
        reply = await post(node, bare_poke(lab))

    assert reply.status == 503
    assert taken == []


async def test_two_nodes_pull_one_after_the_other_and_hand_over_once(lab: Lab) -> None:
    nodes = [lab.node() for _ in range(2)]
    lab.cloud.page = 1
    async with running(nodes[0]) as one, running(nodes[1]) as other, asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(post(nodes[number % 2], poke(lab, *said(f"word {number}", start=10 * number + 10))))
        await until(lambda: len(texts(nodes[0], [*one, *other])) == 12)
        await asyncio.sleep(0.3)

    found = texts(nodes[0], [*one, *other])
    assert len(found) == 12
    assert sorted({word for word in found if word.startswith("word")}) == [f"word {number}" for number in range(6)]


async def test_a_lost_poke_is_made_up_for(lab: Lab) -> None:
    node = lab.node(poll_secs=1.0)
    async with running(node) as taken:
        await post(node, bare_poke(lab))
        await until(lambda: lab.cloud.pulls)
        await asyncio.sleep(0.1)
        lab.cloud.happened(*said("nobody poked"))
        await until(lambda: texts(node, taken) == ["nobody poked"], seconds=10)


async def test_accounts_are_pulled_after_a_restart_although_nobody_pokes(lab: Lab) -> None:
    lab.cloud.happened(*said("while we were away"))
    node = lab.node()
    async with running(node) as taken:
        await until(lambda: texts(node, taken) == ["while we were away"])


async def test_an_old_token_does_not_keep_the_messages_from_us(lab: Lab) -> None:
    lab.cloud.happened(*said("a"))
    node = lab.node()
    async with running(node) as taken:
        await post(node, bare_poke(lab, token="ENCexpired"))
        await until(lambda: texts(node, taken) == ["a"])

    assert ["token" in call.json() for call in lab.cloud.named("sync")][-2:] == [True, False]


async def test_a_pipeline_that_is_busy_gets_the_item_again(lab: Lab) -> None:
    taken: list[RawEvent] = []
    refusals = iter([True, False])

    async def busy(raw: RawEvent) -> Receipt:
        if raw.meta and next(refusals, False):
            raise Busy(0.01)
        taken.append(raw)
        return Receipt.ACCEPTED

    node = lab.node()
    async with running(node, busy):
        await post(node, poke(lab, *said("a")))
        await until(lambda: len(texts(node, taken)) == 2)

    assert texts(node, taken)[0] == "a"


async def test_trouble_with_pulling_is_told_and_ends(lab: Lab) -> None:
    lab.cloud.happened(*said("a"))
    node = lab.node()
    await node.probe()  # so that a token is there
    lab.cloud.pass_next()
    lab.cloud.fail_next(told(48002, "api forbidden"), times=1)
    async with running(node) as taken:
        await until(lambda: texts(node, taken) == ["a"], seconds=10)
        await until(lambda: ("sync", True) in lab.reports)

    assert [told for told in lab.reports if told[0] == "sync"] == [("sync", False), ("sync", True)]


async def test_who_comes_in_is_greeted_with_the_code_once(lab: Lab) -> None:
    node = lab.node()
    hello = lab.message(p.Text(body="welcome"), to=ADA)
    async with running(node) as taken:
        await post(node, poke(lab, written(Item(number=5, at=time.time(), content="enter_session"))))
        await until(lambda: len(taken) == 3)
        await node.send(hello)
        await node.send(lab.message(id="msg_2", to=ADA))

    (greeting,) = lab.sent("greet")
    assert (greeting["code"], greeting["text"]["content"]) == ("welcome-5", "welcome")
    assert len(lab.sent()) == 1


async def test_a_greeting_that_failed_for_now_is_tried_again_as_one(lab: Lab) -> None:
    node = lab.node()
    async with running(node) as taken:
        await post(node, poke(lab, written(Item(number=5, at=time.time(), content="enter_session"))))
        await until(lambda: len(taken) == 3)
    lab.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await node.send(lab.message(to=ADA))
    await node.send(lab.message(to=ADA))

    assert [call.name for call in lab.cloud.calls][-2:] == ["greet", "greet"]


async def test_what_no_greeting_can_carry_goes_as_a_message(lab: Lab) -> None:
    node = lab.node()
    picture = p.Image(media=await lab.picture())
    async with running(node) as taken:
        await post(node, poke(lab, written(Item(number=5, at=time.time(), content="enter_session"))))
        await until(lambda: len(taken) == 3)
        await node.send(lab.message(picture, to=ADA))

    assert lab.sent("greet") == []
    assert lab.sent()[0]["image"]["media_id"].startswith("MEDIA_")
    assert lab.cloud.named("upload")[0].files["media"] == ("image.jpg", "image/jpeg", JPEG)


async def test_the_window_the_count_and_the_customer_are_told_apart(lab: Lab) -> None:
    lab.cloud.closed.add("late")
    lab.cloud.gone.add("gone")
    lab.cloud.quota["many"] = 5
    node, found = lab.node(), {}
    for number in range(5):
        await node.send(lab.message(id=f"msg_{number}", to=f"{ACCOUNT}/many"))
    for customer in ("late", "gone", "many"):
        with pytest.raises(SendError) as caught:
            await node.send(lab.message(id=f"msg_{customer}", to=f"{ACCOUNT}/{customer}"))
        found[customer] = type(caught.value)

    assert found == {"late": WindowClosed, "gone": RecipientGone, "many": WindowClosed}


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [(95013, WindowClosed, False), (95018, Refused, False), (95000, Misconfigured, False), (45009, Throttled, True)],
)
async def test_an_error_code_has_one_meaning(lab: Lab, code: int, kind: type[SendError], *, retryable: bool) -> None:
    node = lab.node()
    await node.send(lab.message(to=ADA))
    lab.cloud.fail_next(told(code, f"words {SECRET}"))

    with pytest.raises(kind) as caught:
        await node.send(lab.message(id="msg_2", to=ADA))

    assert (caught.value.provider_code, caught.value.retryable) == (str(code), retryable)
    assert SECRET not in f"{caught.value} {caught.value.provider_text}"


async def test_a_message_whose_answer_got_lost_is_sent_once(lab: Lab) -> None:
    """WeCom took it and the answer never came; it then refuses the id it has had."""
    node, taken = lab.node(), lab.cloud._taken
    await node.send(lab.message(id="msg_0", to=ADA))

    def lose(body: dict[str, Any]) -> Any:
        lab.cloud._taken = taken
        taken(body)
        return json_answer({}, 504)

    lab.cloud._taken = lose
    with pytest.raises(Unreachable):
        await node.send(lab.message(to=ADA))
    sent = await node.send(lab.message(to=ADA))

    assert sent.provider_ids == (lab.sent()[-1]["msgid"],)
    assert lab.sent()[-1]["msgid"] == lab.sent()[-2]["msgid"]


async def test_an_id_that_is_refused_at_first_is_an_error(lab: Lab) -> None:
    node, other = lab.node(), lab.node()
    await node.send(lab.message(to=ADA))

    with pytest.raises(Refused):
        await other.send(lab.message(to=ADA))


@pytest.mark.parametrize("to", ["", "customer-alone", f"{ACCOUNT}/"])
async def test_an_address_without_account_or_customer_is_refused(lab: Lab, to: str) -> None:
    with pytest.raises(Unsendable):
        await lab.node().send(lab.message(to=to))


async def test_customers_are_identified_in_bulk_and_once(lab: Lab) -> None:
    lab.cloud.unions["wmSimulated000001"] = "uAda"
    items = [written(Item(number=n, at=time.time(), person=1 + n % 2)) for n in range(1, 5)]
    node = lab.node(identify=True)
    async with running(node) as taken:
        await post(node, poke(lab, *items))
        await until(lambda: sum(event.method == "contact.identified" for event in events(node, taken)) == 2)
        await post(node, poke(lab, *said("again", start=50)))
        await until(lambda: "again" in texts(node, taken))
        await asyncio.sleep(0.7)

    found = [event.params.sender for event in events(node, taken) if event.method == "contact.identified"]  # type: ignore[attr-defined]
    assert len(lab.cloud.named("customers")) == 1
    assert sorted((one.name, len(one.addresses)) for one in found) == [("Customer 000001", 2), ("Customer 000002", 1)]


async def test_media_come_by_id_and_pictures_of_links_by_url(lab: Lab) -> None:
    node = lab.node()

    voice = await node.fetch_media(Media(id="m", status="pending", provider_id="simulated-1"), max_bytes=1000)
    with pytest.raises(SendError):  # fetched as a URL, through the guard, where there is none
        await node.fetch_media(Media(id="m", status="pending", provider_id=f"{lab.cloud.url}/no"), max_bytes=1000)

    assert voice.mime == "image/jpeg"
    assert lab.cloud.calls[-1].path == "/no"


async def test_the_doctor_tells_token_accounts_and_handshake(lab: Lab) -> None:
    lab.cloud.happened()
    found = await lab.node().probe()

    assert found["handshake"] == "ok"
    assert [account["open_kfid"] for account in found["accounts"]] == [ACCOUNT]


async def test_without_a_store_messages_are_sent_all_the_same(lab: Lab, tmp_path: Path) -> None:
    node = lab.node()
    bare = type(node)(node.config, make_context(lab.channel, tmp_path / "elsewhere", lab.http))

    assert (await bare.send(lab.message(to=ADA))).provider_ids


def test_a_poke_of_the_simulator_tells_what_happened_lately() -> None:
    simulator = simulators.simulator_of("wecom-kf")(OPTIONS, url="")
    items = [Item(number=number, at=1.0) for number in (1, 2, 3)]
    pokes = [wechat_xml.read(simulator.delivery([item]).body) for item in items]

    assert items_of(str(pokes[-1]["Token"])) == tuple(items)
    assert items_of("SIMnothing") is None
