"""Messages, files and requests through the Slack connector to Slack's simulated Web API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.api import Delivery
from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable
from connectors.secrets import Secret
from connectors.slack import SlackConnector
from connectors.slack_config import SlackConfig
from connectors.staging import MediaUnavailable
from gateway.blobs import BlobStore
from gateway.simulate.api import Item
from gateway.simulate.cloud import Answer, json_answer
from gateway.simulate.slack import SlackSimulator
from gateway.simulate.slack_cloud import SlackCloud
from normalizer import parts as p
from normalizer.methods import DeleteParams, EditParams, ReactParams
from normalizer.model import Address, ChannelRef, MessageRef
from normalizer.raw import Outbound
from tests.contexts import make_context
from tests.contract.channel_bench import as_delivery, running

REF = ChannelRef(id="team-slack", type="slack")
TOKEN = "xoxb-not-a-real-token"


def config(url: str = "https://slack.invalid/api", **more: Any) -> SlackConfig:
    return SlackConfig(bot_token=Secret(TOKEN), signing_secret=Secret("s3cret"), api_base=url, **more)


class Lab:
    def __init__(self, cloud: SlackCloud, connector: SlackConnector, blobs: BlobStore, reports: list[Any]) -> None:
        self.cloud, self.connector, self.blobs, self.reports = cloud, connector, blobs, reports

    async def send(self, *parts: p.AnyPart, to: str = "C1SHOP", **more: Any) -> tuple[str, ...]:
        fields = {"id": "msg_1", "channel": REF, "to": Address(scheme="slack", value=to), "parts": parts, **more}
        return (await self.connector.send(Outbound(**fields))).provider_ids

    async def blob(self, data: bytes = b"a picture", **more: Any) -> p.Media:
        ref = await self.blobs.put(data)
        fields = {"id": "med_1", "status": "stored", "sha256": ref.removeprefix("sha256:"), "mime": "image/png", **more}
        return p.Media(**fields)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    reports: list[Any] = []

    def report(component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None) -> None:
        reports.append((component, reason, down, expires_at))

    async with SlackCloud(config()) as cloud, aiohttp.ClientSession() as http:
        context = make_context(REF, tmp_path, http, report=report)
        connector = SlackConnector(config(cloud.url + "/api", media_hosts=("127.0.0.1",)), context)
        yield Lab(cloud, connector, BlobStore(tmp_path), reports)


def about(native: str, to: str = "C1SHOP") -> dict[str, Any]:
    to_ = Address(scheme="slack", value=to)
    return {"channel": REF.id, "to": to_, "message": MessageRef(provider_id=native)}


async def test_a_message_is_written_edited_reacted_to_and_deleted(lab: Lab) -> None:
    (ts,) = await lab.send(p.Text(body="one & two"))
    await lab.connector.perform("message.edit", EditParams(**about(ts), text="three"))
    await lab.connector.perform("reaction.send", ReactParams(**about(ts), emoji="👍"))
    await lab.connector.perform("reaction.send", ReactParams(**about(ts), emoji=":eyes:"))
    seen = dict(lab.cloud.messages["C1SHOP", ts])
    await lab.connector.perform("reaction.send", ReactParams(**about(ts), emoji=""))
    without = lab.cloud.messages["C1SHOP", ts]["reactions"]
    await lab.connector.perform("message.delete", DeleteParams(**about(ts)))

    assert (seen["text"], [one["name"] for one in seen["reactions"]]) == ("three", ["+1", "eyes"])
    assert without == []
    assert lab.cloud.messages == {}


async def test_what_was_done_before_is_a_success(lab: Lab) -> None:
    (ts,) = await lab.send(p.Text(body="one"))
    for _ in range(2):
        await lab.connector.perform("reaction.send", ReactParams(**about(ts), emoji="👍"))
    for _ in range(2):
        await lab.connector.perform("message.delete", DeleteParams(**about(ts)))
    with pytest.raises(Refused):
        await lab.connector.perform("message.edit", EditParams(**about(ts), text="too late"))


async def test_a_file_of_ours_is_uploaded_and_shared_in_the_thread(lab: Lab) -> None:
    media = await lab.blob(name="chart.png", caption="the <chart>")
    (file,) = await lab.send(p.Image(media=media), thread="1355517523.000005")

    assert lab.cloud.files[file] == b"a picture"
    assert lab.cloud.shared[file] == "C1SHOP"
    shared = lab.cloud.calls[-1].json()
    assert shared["thread_ts"] == "1355517523.000005"
    assert (shared["files"], shared["initial_comment"]) == ([{"id": file, "title": "chart.png"}], "the &lt;chart&gt;")
    assert all("authorization" not in call.headers for call in lab.cloud.named("upload"))

    await lab.connector.perform("message.delete", DeleteParams(**about(file)))
    assert file not in lab.cloud.files


async def test_a_second_try_uploads_nothing_twice(lab: Lab) -> None:
    media = await lab.blob()
    lab.cloud.pass_next(2)
    lab.cloud.fail_next(500)
    with pytest.raises(Unreachable):
        await lab.send(p.File(media=media))
    await lab.send(p.File(media=media))

    assert len(lab.cloud.named("upload")) == 1
    assert len(lab.cloud.shared) == 1


async def test_a_file_for_a_person_goes_into_its_direct_messages(lab: Lab) -> None:
    (file,) = await lab.send(p.Audio(media=await lab.blob(mime="audio/mpeg")), to="U1ANN")

    assert lab.cloud.shared[file] == "D1ANN"


async def test_a_file_that_is_not_here_is_named(lab: Lab) -> None:
    gone = p.Media(id="m", status="stored", sha256="0" * 64)
    with pytest.raises(MediaUnavailable):
        await lab.send(p.Image(media=gone))


async def test_pictures_of_cards_are_linked(lab: Lab) -> None:
    card = p.Card(items=(p.CardItem(title="Tea", media=await lab.blob()),))
    await lab.send(card)

    image = lab.cloud.calls[-1].json()["blocks"][1]
    assert image["image_url"].startswith("https://gw.example/media/")


async def test_files_are_fetched_with_the_token_and_only_from_slack(lab: Lab) -> None:
    lab.cloud.files["F1"] = b"%PDF-1.7"
    by_url = p.Media(id="m", status="pending", provider_id=f"{lab.cloud.url}/files-pri/F1/terms.pdf")
    by_id = p.Media(id="m", status="pending", provider_id="F1")

    assert (await lab.connector.fetch_media(by_url, max_bytes=1000)).data == b"%PDF-1.7"
    assert (await lab.connector.fetch_media(by_id, max_bytes=1000)).data == b"%PDF-1.7"
    assert {call.bearer for call in lab.cloud.named("download")} == {TOKEN}
    for url in ("https://evil.example/x", "https://slack.com.evil.example/x", "https://files.slack.com@evil.example/x"):
        with pytest.raises(Refused):
            await lab.connector.fetch_media(p.Media(id="m", status="pending", provider_id=url), max_bytes=1000)


async def test_a_login_page_instead_of_a_file_is_noticed(lab: Lab) -> None:
    media = p.Media(id="m", mime="image/png", status="pending", provider_id=f"{lab.cloud.url}/files-pri/F1/a.png")
    lab.cloud.fail_next(Answer(body=b"<!DOCTYPE html><title>Sign in</title>", content_type="text/html"))
    with pytest.raises(Misconfigured, match="files:read"):
        await lab.connector.fetch_media(media, max_bytes=1000)


@pytest.mark.parametrize(
    ("error", "kind", "again"),
    [
        ("channel_not_found", RecipientGone, False),
        ("not_in_channel", RecipientGone, False),
        ("is_archived", RecipientGone, False),
        ("user_disabled", RecipientGone, False),
        ("invalid_auth", Misconfigured, False),
        ("token_revoked", Misconfigured, False),
        ("missing_scope", Misconfigured, False),
        ("msg_too_long", Refused, False),
        ("invalid_blocks", Refused, False),
        ("a_word_of_tomorrow", Refused, False),
        ("ratelimited", Throttled, True),
        ("internal_error", Unreachable, True),
    ],
)
async def test_errors_mean_what_the_table_says(lab: Lab, error: str, kind: type[SendError], *, again: bool) -> None:
    lab.cloud.fail_next(json_answer({"ok": False, "error": error, "needed": "chat:write"}))
    with pytest.raises(SendError) as caught:
        await lab.send(p.Text(body="hi"))

    assert type(caught.value) is kind
    assert caught.value.retryable is again
    assert TOKEN not in f"{caught.value!r}{caught.value.provider_text}"


async def test_slow_down_says_for_how_long(lab: Lab) -> None:
    lab.cloud.fail_next(429, retry_after=30)
    with pytest.raises(Throttled) as caught:
        await lab.send(p.Text(body="hi"))

    assert caught.value.retry_after == 30


async def test_what_answers_is_not_slack(lab: Lab) -> None:
    lab.cloud.fail_next(Answer(body=b"<html>It works!</html>", content_type="text/html"))
    with pytest.raises(Unreachable, match="api_base"):
        await lab.send(p.Text(body="hi"))


async def test_the_doctor_tells_who_we_are_and_what_we_may(lab: Lab) -> None:
    told = await lab.connector.probe()
    headers = {"x-oauth-scopes": "chat:write,channels:history"}
    lab.cloud.fail_next(json_answer({"ok": True, "team": "T", "user": "bot", "expires_in": 3600}, headers=headers))
    less = await lab.connector.probe()

    assert (told["team"], told["user"]) == ("Simulated", "shop-bot")
    assert [check.ok for check in told["checks"]] == [True, True]
    assert [check.ok for check in less["checks"]] == [True, False]
    assert "files:read" in less["checks"][1].detail
    assert less["token_expires_in_secs"] == 3600


async def test_a_menu_that_asks_for_options_gets_none_and_a_form_closes(lab: Lab) -> None:
    simulator = SlackSimulator(config(), url="")
    form = simulator.delivery([Item(number=1, at=time.time(), content="form")])
    asked = form.body.replace(b"view_submission", b"block_suggestion")
    async with running(lab.connector):
        replies = [
            await lab.connector.handle(as_delivery(REF.id, simulator.sign(msg, time.time())))
            for msg in (form, type(form)(headers=form.headers, body=asked))
        ]

    assert [reply.body for reply in replies] == [b"", b'{"options":[]}']


async def test_an_uninstalled_app_is_trouble_of_the_channel(lab: Lab) -> None:
    simulator = SlackSimulator(config(), url="")
    told = b'{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"app_uninstalled"}}'
    plain = type(simulator.delivery([Item(number=1, at=0)]))(headers={"Content-Type": "application/json"}, body=told)
    async with running(lab.connector) as taken:
        delivery: Delivery = as_delivery(REF.id, simulator.sign(plain, time.time()))
        assert (await lab.connector.handle(delivery)).status == 200

    assert len(taken) == 1
    assert lab.reports == [("credentials", "the app was uninstalled", True, None)]
