"""`make screenshots`: the chat widget as people see it, and the agent console, with a real gateway behind them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page

from tests.servers.chat_page import ChatGateway, Visitor, chromium, png
from tests.servers.gateway import ADMIN_TOKEN


class Talk(NamedTuple):
    """What is said in a picture."""

    question: str
    answer: str
    choice: str
    items: tuple[str, str, str]
    chosen: str
    last: str
    name: str


ENGLISH = Talk(
    "Hi! Is the Alpine 3 in stock, and could I pick it up today?",
    "Hello! Yes, it is. **Three frames** are left in our [city shop](https://shop.example), open until 19:00.",
    "Which size shall I put aside?",
    ("Small", "Medium", "Large"),
    "Medium",
    "Great. That's the scratch I asked about, by the way:",
    "Ben",
)
ARABIC = Talk(
    "مرحبا! هل دراجة Alpine 3 متوفرة؟ وهل يمكنني استلامها اليوم؟",
    "أهلا بك! نعم، بقيت **ثلاث دراجات** في [متجر المدينة](https://shop.example)، وهو مفتوح حتى السابعة مساء.",
    "ما المقاس الذي نحجزه لك؟",
    ("صغير", "متوسط", "كبير"),
    "متوسط",
    "شكرا. وهذا هو الخدش الذي سألت عنه:",
    "سارة",
)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PICTURES: dict[str, tuple[str, Talk, dict[str, Any]]] = {
    "desktop": ("", ENGLISH, {"viewport": DESKTOP}),
    "phone": ("", ENGLISH, {"viewport": PHONE, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}),
    "dark": ("?theme=dark", ENGLISH, {"viewport": DESKTOP, "color_scheme": "dark"}),
    "right-to-left": ("?lang=ar&position=left&color=%230f766e", ARABIC, {"viewport": DESKTOP}),
}


def talk(visitor: Visitor, gateway: ChatGateway, said: Talk, *, picture: Path) -> None:
    """Hold the conversation."""
    sender = {"chat": {"name": said.name}}
    visitor.say(said.question)
    gateway.answer(said.question, parts=[{"type": "text", "format": "markdown", "body": said.answer}], metadata=sender)
    items = [{"id": str(number), "title": title} for number, title in enumerate(said.items)]
    choice = {"type": "choice", "kind": "buttons", "body": said.choice, "items": items}
    gateway.answer(said.question, parts=[choice], metadata=sender)
    visitor.panel.get_by_role("button", name=said.chosen, exact=True).click()
    visitor.say(said.last)
    visitor.panel.locator("input[type=file]").set_input_files(picture)
    visitor.panel.locator(".mine img").wait_for()
    event = gateway.received(said.last)[0]["params"]
    target = {"channel": "web", "conversation": event["conversation"]["id"]}
    gateway.process.call("receipt.send", {**target, "message": {"provider_id": event["message"]["provider_id"]}})
    agents = [{"name": said.name}]
    gateway.process.call("presence.send", {**target, "status": "online", "agents": agents})
    gateway.process.call("typing.send", target)
    visitor.panel.locator(".typing").wait_for()
    visitor.page.wait_for_timeout(400)


def take(name: str, folder: Path, browser: Browser, place: Path) -> None:
    """Take one picture; for the last, the agent console and a page with the chat closed, too."""
    query, said, options = PICTURES[name]
    picture = place / "crack.png"
    picture.write_bytes(png(640, 400))
    gateway = ChatGateway(place / name)
    context = browser.new_context(reduced_motion="reduce", **options)
    try:
        visitor = Visitor(context.new_page(), gateway.url + query)
        talk(visitor, gateway, said, picture=picture)
        visitor.page.screenshot(path=folder / f"{name}.png")
        if name == "desktop":
            change(visitor, said, folder)
            console(visitor.page.context.new_page(), gateway, folder / "console.png")
            visitor.page.keyboard.press("Escape")
            gateway.answer(said.question, "Done!")
            visitor.page.locator("omnigate-chat .badge").wait_for()
            visitor.page.screenshot(path=folder / "closed.png")
    finally:
        context.close()
        gateway.close()


def change(visitor: Visitor, said: Talk, folder: Path) -> None:
    """Take pictures of what can be done with a message of one's own, and of it being edited."""
    message = visitor.sees(said.last, "mine")
    message.hover()
    message.locator(".more").click()
    visitor.page.screenshot(path=folder / "changing.png")
    message.get_by_role("button", name="Edit", exact=True).click()
    visitor.page.screenshot(path=folder / "editing.png")
    visitor.page.keyboard.press("Escape")


def console(page: Page, gateway: ChatGateway, path: Path) -> None:
    """Take a picture of the agent console."""
    page.goto(f"{gateway.process.admin_url}/chat")
    page.get_by_label("Admin token").fill(ADMIN_TOKEN)
    page.keyboard.press("Enter")
    page.locator("#log button").first.wait_for()
    page.wait_for_timeout(300)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    """Write the pictures into the folder that is the first argument."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        for name in PICTURES:
            take(name, folder, browser, Path(place))
    print("\n".join(str(path) for path in sorted(folder.glob("*.png"))))


if __name__ == "__main__":
    main()
