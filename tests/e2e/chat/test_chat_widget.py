"""The chat widget in a real Chromium, against a real gateway."""

from __future__ import annotations

import gzip
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from connectors.chat.widget.__main__ import HERE, TARGET, build
from tests.servers.chat_page import ChatGateway, Visitor, png
from tests.servers.gateway import ADMIN_TOKEN
from tests.servers.proxy import TcpProxy

KILOBYTES_30 = 30_000
PATIENCE_MS = 20_000


def test_widget_fits_into_30_kilobytes() -> None:
    assert len(gzip.compress(TARGET.read_bytes())) <= KILOBYTES_30


def test_widget_that_is_served_is_the_one_of_the_sources() -> None:
    assert TARGET.read_text(encoding="utf-8") == build(), "run `make widget`"


def test_every_language_says_everything() -> None:
    languages = json.loads((HERE / "strings.json").read_text(encoding="utf-8"))
    assert {"en", "zh", "de", "fr", "es", "ar"} <= set(languages)
    assert all(set(strings) == set(languages["en"]) for strings in languages.values())


def test_visitor_writes_and_sees_the_answer(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Where is my parcel?")
    ada.sees("Where is my parcel?", "sent")
    gateway.answer("Where is my parcel?", "It is on its way.")
    ada.sees("It is on its way.", "agent")
    assert len(gateway.received("Where is my parcel?")) == 1


def test_markup_of_an_answer_is_shown_and_cannot_run(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("<img src=x onerror=alert(1)>")
    ada.sees("<img src=x onerror=alert(1)>", "sent")
    body = "See **this** [page](https://shop.example/a) or [not](javascript:alert(1))"
    part = {"type": "text", "format": "markdown", "body": body}
    gateway.answer("<img src=x onerror=alert(1)>", parts=[part])
    expect(ada.panel.locator(".rich strong")).to_have_text("this")
    assert ada.panel.locator(".rich a").all_inner_texts() == ["page"]


def test_choice_is_a_button_and_its_answer_reaches_the_core(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    ada.say("I want a jacket")
    items = [{"id": "s", "title": "Small size"}, {"id": "l", "title": "Large size"}]
    choice = {"type": "choice", "kind": "buttons", "body": "Which size?", "items": items}
    gateway.answer("I want a jacket", parts=[choice])
    ada.page.get_by_role("button", name="Large size").click()
    event = gateway.received("Large size")[0]
    assert event["params"]["message"]["parts"][0]["item_id"] == "l"
    expect(ada.page.get_by_role("button", name="Small size")).to_be_disabled()


def test_reloaded_page_shows_the_conversation_again(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Before the reload")
    ada.sees("Before the reload", "sent")
    ada.page.reload()
    ada.open()
    ada.sees("Before the reload", "mine")
    gateway.answer("Before the reload", "After the reload")
    ada.sees("After the reload", "agent")


def test_two_tabs_show_the_same_conversation(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    first = arrive()
    first.say("From the first tab")
    first.sees("From the first tab", "sent")
    second = arrive(of=first)
    second.sees("From the first tab", "mine")
    second.say("From the second tab")
    first.sees("From the second tab", "mine")
    gateway.answer("From the second tab", "To both tabs")
    first.sees("To both tabs", "agent")
    second.sees("To both tabs", "agent")


def test_unread_answers_are_counted_while_the_chat_is_closed(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    ada.say("I shall close this")
    ada.sees("I shall close this", "sent")
    ada.page.keyboard.press("Escape")
    gateway.answer("I shall close this", "Are you there?")
    expect(ada.page.get_by_role("button", name="Open chat, 1 unread")).to_be_visible()
    ada.page.get_by_role("button", name="Open chat, 1 unread").click()
    expect(ada.page.locator("omnigate-chat .badge")).to_be_hidden()


def test_cut_network_is_said_and_what_is_written_meanwhile_arrives_once(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    ada.say("Before the tunnel")
    ada.sees("Before the tunnel", "sent")
    ada.page.route("**/chat/web/*", lambda route: route.abort())
    gateway.network.do(TcpProxy.cut)
    expect(ada.panel.locator(".notice")).to_contain_text("No connection", timeout=PATIENCE_MS)
    ada.say("In the tunnel")
    ada.sees("In the tunnel", "waiting")
    gateway.answer("Before the tunnel", "Said into the tunnel")
    ada.page.unroute("**/chat/web/*")
    gateway.network.do(TcpProxy.resume)
    ada.sees("In the tunnel", "sent")
    ada.sees("Said into the tunnel", "agent")
    assert len(gateway.received("In the tunnel")) == 1


@pytest.mark.slow
def test_restarted_server_takes_what_was_written_meanwhile(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    ada.say("Before the restart")
    ada.sees("Before the restart", "sent")
    gateway.process.term()
    ada.say("While it is down")
    ada.sees("While it is down", "waiting")
    gateway.process.restart()
    ada.page.evaluate("dispatchEvent(new Event('online'))")  # as a browser does; it need not wait for its back-off
    ada.sees("While it is down", "sent")
    ada.sees("Before the restart", "mine")
    gateway.answer("While it is down", "Up again")
    ada.sees("Up again", "agent")
    assert len(gateway.received("While it is down")) == 1


def _without_websockets(page: Page) -> None:
    page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({}), 5); } close() {} }"
    )


def test_visitor_edits_a_message_with_the_mouse(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Is the Alpin 3 there?")
    said = ada.sees("Is the Alpin 3 there?", "sent")
    said.hover()
    said.get_by_role("button", name="Change message: Is the Alpin 3 there?").click()
    said.get_by_role("button", name="Edit", exact=True).click()
    box = ada.panel.get_by_role("textbox", name="Your message")
    expect(box).to_have_value("Is the Alpin 3 there?")
    box.fill("Is the Alpine 3 there?")
    ada.panel.get_by_role("button", name="Save", exact=True).click()
    expect(ada.sees("Is the Alpine 3 there?", "mine").locator(".meta")).to_contain_text("edited")
    assert gateway.received("Is the Alpine 3 there?")[0]["method"] == "message.updated"
    expect(box).to_have_value("")
    ada.page.reload()
    ada.open()
    ada.sees("Is the Alpine 3 there?", "mine")
    assert ada.panel.get_by_text("Is the Alpin 3 there?", exact=True).count() == 0


def test_visitor_edits_and_deletes_with_the_keyboard_alone(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    keys, box = ada.page.keyboard, ada.panel.get_by_role("textbox", name="Your message")
    ada.say("A wordd")
    ada.sees("A wordd", "sent")
    keys.press("ArrowUp")
    expect(ada.panel.get_by_role("status").filter(has_text="Editing your message")).to_be_visible()
    keys.press("Escape")
    expect(box).to_have_value("")
    expect(ada.panel).to_be_visible()  # it is the editing that has ended
    keys.press("ArrowUp")
    box.fill("A word")
    keys.press("Enter")
    ada.sees("A word", "mine")
    change = ada.panel.get_by_role("button", name="Change message: A word")
    change.focus()
    keys.press("Enter")
    expect(ada.panel.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")  # asks first
    expect(ada.panel.get_by_role("button", name="Delete for everybody?")).to_be_focused()
    keys.press("Enter")
    expect(ada.panel.locator(".gone")).to_have_text(re.compile("This message was deleted"))
    expect(box).to_be_focused()
    assert ada.panel.get_by_text("A word", exact=True).count() == 0
    gateway.told("message.deleted")


def test_draft_outlives_an_edit(arrive: Callable[..., Visitor]) -> None:
    ada = arrive()
    ada.say("First thing")
    said = ada.sees("First thing", "sent")
    box = ada.panel.get_by_role("textbox", name="Your message")
    box.fill("Second, half written")
    said.hover()
    said.locator(".more").click()
    said.get_by_role("button", name="Edit", exact=True).click()
    box.fill("Second thing")
    box.press("Enter")
    ada.sees("Second thing", "mine")
    expect(box).to_have_value("Second, half written")


def test_edit_into_a_cut_network_says_so_and_keeps_the_words(
    arrive: Callable[..., Visitor], gateway: ChatGateway
) -> None:
    ada = arrive()
    ada.say("To be changed")
    ada.sees("To be changed", "sent")
    ada.panel.locator("textarea").press("ArrowUp")
    ada.panel.locator("textarea").fill("Changed")
    ada.page.route("**/chat/web/*", lambda route: route.abort())
    gateway.network.do(TcpProxy.cut)
    expect(ada.panel.locator(".notice")).to_contain_text("No connection", timeout=PATIENCE_MS)
    ada.panel.locator("textarea").press("Enter")
    expect(ada.panel.locator(".task")).to_contain_text("Not changed: There is no connection")
    expect(ada.panel.locator("textarea")).to_have_value("Changed")
    ada.page.unroute("**/chat/web/*")
    gateway.network.do(TcpProxy.resume)
    expect(ada.panel.locator(".notice")).to_be_hidden(timeout=PATIENCE_MS)
    ada.panel.locator("textarea").press("Enter")
    ada.sees("Changed", "mine")


def test_what_an_agent_edits_and_deletes_is_shown_so(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("What does it cost?")
    first = gateway.answer("What does it cost?", "90")
    second = gateway.answer("What does it cost?", "A secret of the shop")
    ada.sees("90", "agent")
    ada.sees("A secret of the shop", "agent")
    gateway.change("What does it cost?", "message.edit", first, text="95")
    expect(ada.sees("95", "agent").locator(".meta")).to_contain_text("edited")
    gateway.change("What does it cost?", "message.delete", second)
    expect(ada.panel.locator(".agent.gone")).to_contain_text("This message was deleted")
    for gone in ("90", "A secret of the shop"):
        assert ada.panel.get_by_text(gone, exact=True).count() == 0
    assert ada.panel.locator(".agent .acts").count() == 0  # they are not the visitor's
    other = arrive(of=ada)
    other.sees("95", "agent")
    expect(other.panel.locator(".agent.gone")).to_be_visible()


def test_long_polling_does_where_websockets_are_refused(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive(prepare=_without_websockets)
    ada.say("By long polling")
    ada.sees("By long polling", "sent")
    assert gateway.received("By long polling")[0]["params"]["metadata"]["chat"]["transport"] == "poll"
    gateway.answer("By long polling", "Polled")
    ada.sees("Polled", "agent")


def test_picture_is_uploaded_and_shown(arrive: Callable[..., Visitor], gateway: ChatGateway, tmp_path: Path) -> None:
    picture = tmp_path / "crack.png"
    picture.write_bytes(png())
    ada = arrive()
    ada.say("Look at this")
    ada.sees("Look at this", "sent")
    ada.panel.locator("input[type=file]").set_input_files(picture)
    image = ada.panel.locator(".mine img")
    image.wait_for()
    expect(image).to_have_js_property("naturalWidth", 64)
    event = gateway.received("[image crack.png]")[0]
    assert event["params"]["message"]["parts"][0]["media"]["mime"] == "image/png"


def test_file_that_is_too_large_is_refused_with_its_reason(arrive: Callable[..., Visitor], tmp_path: Path) -> None:
    large = tmp_path / "film.png"
    with large.open("wb") as file:
        file.truncate(11_000_000)
    ada = arrive()
    expect(ada.panel.locator(".dot.unknown, .dot.online, .dot.away")).to_be_visible()
    ada.panel.locator("input[type=file]").set_input_files(large)
    expect(ada.page.get_by_role("alert")).to_contain_text("film.png is larger than")


def test_keyboard_alone_is_enough(browser: Browser, gateway: ChatGateway) -> None:
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")
    page = context.new_page()
    page.goto(gateway.url)
    page.get_by_role("button", name="Open chat").wait_for()
    page.locator("#try a").last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("Only keys")
    page.keyboard.press("Enter")
    page.locator("omnigate-chat .mine.sent").wait_for()
    assert len(gateway.received("Only keys")) == 1
    page.keyboard.press("Escape")
    focused = page.evaluate("document.querySelector('omnigate-chat').shadowRoot.activeElement.className")
    assert focused == "launcher"
    context.close()


def test_screen_reader_finds_names_and_roles(arrive: Callable[..., Visitor]) -> None:
    ada = arrive()
    expect(ada.page.get_by_role("dialog", name="Chat with us")).to_be_visible()
    expect(ada.page.get_by_role("log", name="Messages")).to_have_attribute("aria-live", "polite")
    expect(ada.page.get_by_role("textbox", name="Your message")).to_be_focused()
    for name in ("Send", "Attach a file", "More", "Close chat"):
        assert ada.panel.get_by_role("button", name=name, exact=True).count() == 1


def test_arabic_runs_from_right_to_left(browser: Browser, gateway: ChatGateway) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(gateway.url + "?lang=ar&open=1")
    send, clip = page.get_by_role("button", name="إرسال", exact=True), page.get_by_role("button", name="إرفاق ملف")
    send.wait_for()
    left, right = send.bounding_box(), clip.bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] < right["x"]
    context.close()


def test_window_fills_a_phone_and_does_not_scroll_sideways(browser: Browser, gateway: ChatGateway) -> None:
    phone = {"viewport": {"width": 320, "height": 560}, "is_mobile": True, "has_touch": True}
    context = browser.new_context(**phone, reduced_motion="reduce")
    ada = Visitor(context.new_page(), gateway.url)
    ada.say("w" * 400)
    ada.panel.locator(".mine.sent").wait_for()
    assert ada.panel.bounding_box() == {"x": 0, "y": 0, "width": 320, "height": 560}
    log = "document.querySelector('omnigate-chat').shadowRoot.querySelector('.log')"
    assert ada.page.evaluate(f"{log}.scrollWidth <= {log}.clientWidth")
    assert ada.page.evaluate("document.scrollingElement.scrollWidth") == 320  # the demo page, too
    assert ada.panel.locator(".more").evaluate("button => getComputedStyle(button).opacity") != "0"  # nothing hovers
    ada.panel.locator(".more").tap()
    ada.panel.get_by_role("button", name="Edit", exact=True).tap()
    ada.panel.locator("textarea").fill("v" * 400)
    ada.panel.get_by_role("button", name="Save", exact=True).tap()
    ada.sees("v" * 400, "mine")
    context.close()


def test_strict_policy_of_a_site_is_not_violated(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    sources = f"connect-src 'self' ws://127.0.0.1:{gateway.network.port}; img-src 'self'"
    policy = f"default-src 'none'; script-src 'self'; {sources}"
    page = b'<!doctype html><html lang=en><body><script src="/chat/web/widget.js" async></script></body></html>'

    def serve(route: Route) -> None:
        route.fulfill(body=page, headers={"Content-Security-Policy": policy, "Content-Type": "text/html"})

    ada = arrive("?strict", prepare=lambda tab: tab.route("**/chat/web/?strict", serve))
    ada.say("Under a strict policy")
    ada.sees("Under a strict policy", "sent")
    box = ada.panel.bounding_box()
    assert box is not None
    assert box["width"] == 384  # its styles are there


def test_console_shows_the_message_and_answers_it(arrive: Callable[..., Visitor], gateway: ChatGateway) -> None:
    ada = arrive()
    ada.say("Is anybody there?")
    desk = ada.page.context.new_page()
    desk.goto(f"{gateway.process.admin_url}/chat")
    desk.get_by_label("Admin token").fill(ADMIN_TOKEN)
    desk.keyboard.press("Enter")
    desk.get_by_role("button", name="Is anybody there?").first.click()
    message = desk.locator("#log").get_by_role("button", name="Is anybody there?")
    message.click()
    assert json.loads(desk.locator("#json").inner_text())["method"] == "message.received"
    desk.get_by_label("Answer").fill("I am")
    desk.keyboard.press("Enter")
    ada.sees("I am", "agent")
    ada.panel.locator("textarea").press("ArrowUp")
    ada.panel.locator("textarea").fill("Is somebody there?")
    ada.panel.locator("textarea").press("Enter")
    expect(desk.locator("#log").get_by_role("button", name="Is somebody there? (edited)")).to_be_visible()


def test_console_shows_nothing_without_the_token(gateway: ChatGateway) -> None:
    url = f"{gateway.process.admin_url}/api/events?history=1"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10)
        with refused.value as answer:
            assert answer.code == 401
