"""The chat widget in Chromium: what a site's owner may set, and the less usual things a visitor does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.servers.chat_page import ChatGateway, Visitor, png

Arrive = Callable[..., Visitor]
SITE_KEY = "a-key-of-the-site-with-32-letters!"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatGateway]:
    made = ChatGateway(
        tmp_path_factory.mktemp("chat") / "gateway",
        options='[channels.web.jwt]\nalgorithms = ["HS256"]\nkey = "env:SITE_KEY"\n',
        env={"SITE_KEY": SITE_KEY},
    )
    try:
        yield made
    finally:
        made.close()


def with_tag(attributes: str, *, folder: Path | None = None) -> Callable[[Page], None]:
    """Serve a page of the site with these attributes of the script tag, and files of a folder beside it."""
    page = f'<!doctype html><html lang=en><body><script src="/chat/web/widget.js" {attributes}></script></body></html>'

    def serve(route: Route) -> None:
        route.fulfill(body=page, headers={"Content-Type": "text/html; charset=utf-8"})

    def prepare(tab: Page) -> None:
        tab.route("**/chat/web/?site", serve)
        if folder is not None:
            tab.route("**/site/*", lambda route: route.fulfill(path=folder / route.request.url.rpartition("/")[2]))

    return prepare


def test_agent_who_writes_is_seen_writing_until_the_answer_comes(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Anybody?")
    event = gateway.received("Anybody?")[0]["params"]
    gateway.process.call("typing.send", {"channel": "web", "conversation": event["conversation"]["id"]})
    expect(ada.panel.locator(".typing")).to_be_visible()
    expect(ada.panel.get_by_role("status").filter(has_text="is typing")).to_have_count(1)  # for who sees nothing
    gateway.answer("Anybody?", "Here I am")
    ada.sees("Here I am", "agent")
    expect(ada.panel.locator(".typing")).to_be_hidden()


def test_visitor_who_writes_is_told_to_the_core(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("First")
    ada.sees("First", "sent")
    ada.panel.locator("textarea").press_sequentially("Well")
    gateway.told("typing.started")
    ada.panel.locator("textarea").fill("")
    gateway.told("typing.stopped")


def test_receipts_and_presence_are_shown(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Have you read this?")
    event = gateway.received("Have you read this?")[0]["params"]
    target = {"channel": "web", "conversation": event["conversation"]["id"]}
    gateway.process.call("receipt.send", {**target, "message": {"provider_id": event["message"]["provider_id"]}})
    expect(ada.sees("Have you read this?", "mine").locator(".meta")).to_contain_text("Read")
    gateway.process.call("presence.send", {**target, "status": "online", "agents": [{"name": "Ben"}]})
    expect(ada.panel.locator("header p")).to_have_text("Ben")
    gateway.answer("Have you read this?", "Yes")
    ada.sees("Yes", "agent")
    gateway.told("receipt.read")


def test_dropped_file_is_sent(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("I drop something")
    ada.sees("I drop something", "sent")
    data = ada.page.evaluate_handle(
        """bytes => { const all = new DataTransfer();
        all.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" })); return all; }""",
        list(png()),
    )
    ada.panel.dispatch_event("dragenter", {"dataTransfer": data})
    expect(ada.panel.get_by_text("Drop files to send them")).to_be_visible()
    ada.panel.dispatch_event("drop", {"dataTransfer": data})
    expect(ada.panel.locator(".mine img")).to_be_visible()
    expect(ada.panel.get_by_text("Drop files to send them")).to_be_hidden()
    gateway.received("[image dropped.png]")


def test_program_is_refused_with_its_reason(arrive: Arrive, tmp_path: Path) -> None:
    program = tmp_path / "setup.png"
    program.write_bytes(b"MZ\x90\0\x03\0\0\0\x04" + bytes(200))
    ada = arrive()
    ada.say("A picture, honestly")
    ada.sees("A picture, honestly", "sent")
    ada.panel.locator("input[type=file]").set_input_files(program)
    expect(ada.page.get_by_role("alert")).to_contain_text("Files like setup.png are not accepted")
    ada.page.get_by_role("button", name="Remove", exact=True).click()
    expect(ada.page.get_by_role("alert")).to_have_count(0)


def test_conversation_is_saved_and_ended_and_begins_anew(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("To be saved")
    gateway.answer("To be saved", "It will be")
    ada.sees("It will be", "agent")
    ada.panel.get_by_role("button", name="More").click()
    with ada.page.expect_download() as saving:
        ada.panel.get_by_role("button", name="Save conversation").click()
    saved = Path(saving.value.path()).read_text(encoding="utf-8")
    assert [line.rpartition(": ")[2] for line in saved.splitlines()] == ["To be saved", "It will be"]
    ada.panel.get_by_role("button", name="More").click()
    ada.panel.get_by_role("button", name="End conversation").click()
    expect(ada.panel.get_by_text("You ended the conversation. Write to go on.")).to_be_visible()
    gateway.told("conversation.ended")
    ada.say("One more thing")
    ada.sees("One more thing", "sent")


def test_earlier_messages_are_loaded_page_by_page(arrive: Arrive) -> None:
    ada = arrive()
    for number in range(55):
        ada.say(f"Message {number}")
    ada.sees("Message 54", "sent")
    ada.page.reload()
    ada.open()
    ada.sees("Message 54", "mine")
    assert ada.panel.get_by_text("Message 1", exact=True).count() == 0
    ada.panel.get_by_role("button", name="Show earlier messages").click()
    ada.sees("Message 1", "mine")
    shown = ada.panel.locator(".mine .text").all_inner_texts()
    assert shown == [f"Message {number}" for number in range(55)]


def test_site_names_its_visitor_and_logs_him_out(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Before I am known")
    ada.sees("Before I am known", "sent")
    token = jwt.encode({"sub": "4711", "name": "Ada", "exp": time.time() + 600}, SITE_KEY, algorithm="HS256")
    ada.page.evaluate("token => Omnigate.identify(token)", token)
    gateway.told("contact.identified")
    ada.sees("Before I am known", "mine")  # the conversation is kept
    ada.say("Now I am known")
    event = gateway.received("Now I am known")[0]["params"]["message"]
    assert event["from"]["name"] == "Ada"
    ada.page.evaluate("Omnigate.logout()")
    expect(ada.panel.locator(".m")).to_have_count(0)
    assert ada.page.evaluate("Object.keys(localStorage).filter(key => key.endsWith(':token'))") == []
    ada.say("Somebody else")
    ada.sees("Somebody else", "sent")
    assert "name" not in gateway.received("Somebody else")[0]["params"]["message"]["from"]


def test_site_with_a_language_and_colours_of_its_own(arrive: Arrive, tmp_path: Path) -> None:
    (tmp_path / "nl.json").write_text(json.dumps({"title": "Chat met Ada", "label": "Uw bericht"}), encoding="utf-8")
    tag = 'data-lang="nl" data-strings="/site/nl.json" data-color="#0f766e" data-position="left" data-theme="dark"'
    ada = arrive("?site", prepare=with_tag(tag, folder=tmp_path))
    expect(ada.page.get_by_role("dialog", name="Chat met Ada")).to_be_visible()
    expect(ada.page.get_by_role("textbox", name="Uw bericht")).to_be_focused()
    assert ada.panel.get_by_role("button", name="Close chat").count() == 1  # what is missing is English
    assert ada.panel.locator("header").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(15, 118, 110)"
    assert ada.panel.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(23, 26, 33)"
    box = ada.panel.bounding_box()
    assert box is not None
    assert box["x"] < 100


def test_page_whose_visitor_never_opens_the_chat_makes_no_request(browser: Browser, gateway: ChatGateway) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(gateway.url)
    page.get_by_role("button", name="Open chat").wait_for()
    page.wait_for_load_state("networkidle")
    assert not {"config", "rpc", "ws"} & {name.partition("?")[0] for name in asked}
    assert page.evaluate("localStorage.length") == 0
    context.close()


def test_visitor_who_wants_no_motion_gets_none(arrive: Arrive) -> None:
    ada = arrive()
    moving = "[...document.querySelector('omnigate-chat').shadowRoot.querySelectorAll('*')].filter(one => {"
    moving += " const style = getComputedStyle(one); return style.animationName !== 'none'; }).length"
    assert ada.page.evaluate(moving) == 0


def test_site_listens_to_messages(arrive: Arrive, gateway: ChatGateway) -> None:
    ada = arrive()
    ada.page.evaluate("window.heard = []; void Omnigate.onMessage(message => heard.push(message.text))")
    ada.say("Ring a bell")
    gateway.answer("Ring a bell", "Ding")
    ada.sees("Ding", "agent")
    assert ada.page.evaluate("heard") == ["Ding"]
