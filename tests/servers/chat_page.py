"""A gateway with a web chat, and Chromium that opens pages with its widget."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

from tests.servers.gateway import GatewayProcess
from tests.servers.process import Process, free_port, require, wait_until
from tests.servers.proxy import TcpProxy

PATIENCE_MS = 15_000


def png(width: int = 64, height: int = 40) -> bytes:
    """Make a picture."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    lines = (
        b"\0" + bytes(v for x in range(width) for v in (90 + x * 99 // width, 140 + y * 80 // height, 190))
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium. The sandbox needs rights that containers rarely have; only our own pages are opened."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=require("chromium", "chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            browser.close()


class BadNetwork:
    """A `TcpProxy` for tests without an event loop; every method of it is called in the proxy's own thread."""

    def __init__(self, target_port: int) -> None:
        """Stand before a port."""
        self._proxy, self._loop = TcpProxy(target_port), asyncio.new_event_loop()
        self._up, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._proxy.port

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def do(self, what: Callable[[TcpProxy], None]) -> None:
        """Misbehave: ``network.do(TcpProxy.cut)``."""
        self._loop.call_soon_threadsafe(what, self._proxy)

    async def _serve(self) -> None:
        async with self._proxy.serve():
            self._up.set()
            await self._over.wait()


class ChatGateway:
    """A gateway with one chat, ``web``; its WebSocket is reached over `network`."""

    def __init__(self, folder: Path, *, options: str = "", env: Mapping[str, str] | None = None) -> None:
        """Take further options of the channel, as TOML lines, and further environment."""
        self.ws_port = free_port()
        self.network = BadNetwork(self.ws_port)
        self.network.__enter__()
        channel = (
            f'[channels.web]\nkind = "chat"\nlisten = "127.0.0.1:{self.ws_port}"\ndemo = true\n'
            f'public_url = "ws://127.0.0.1:{self.network.port}"\norigins = ["*"]\n'
            f"messages_per_minute = 600\ncalls_per_minute = 6000\nsessions_per_minute_per_ip = 0\n{options}"
        )
        self.process = GatewayProcess(folder, channels=channel, env=env)
        self.process.start()
        self._tail: Process | None = None

    @property
    def url(self) -> str:
        """The page to try the chat."""
        return f"{self.process.url}/chat/web/"

    def close(self) -> None:
        """Stop everything."""
        if self._tail is not None:
            self._tail.kill()
        self.process.stop()
        self.network.__exit__()

    def received(self, text: str) -> list[dict[str, Any]]:
        """Wait until the core has got a message with this text; returns all that came with it."""
        return self._wait(lambda event: bool(event["params"].get("message", {}).get("text") == text), repr(text))

    def told(self, method: str) -> list[dict[str, Any]]:
        """Wait until the core was told something by this method; returns all of it."""
        return self._wait(lambda event: bool(event["method"] == method), method)

    def _wait(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> list[dict[str, Any]]:
        out = self.process.folder / "tail.log"
        if self._tail is None:
            self._tail = self.process.follow(out)
        found: list[dict[str, Any]] = []

        def there() -> bool:
            lines = out.read_text().splitlines() if out.exists() else []
            events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
            found[:] = filter(wanted, events)
            return bool(found)

        wait_until(there, timeout=20, what=f"{what} at the core")
        return found

    def answer(self, question: str, text: str = "", **params: Any) -> str:
        """Answer a message of a visitor as the core does; returns the id of the answer."""
        answer = self._ask("message.send", question, **({"text": text} if text else {}), **params)
        assert answer.get("result", {}).get("status") == "sent", answer
        (sent,) = answer["result"]["message"]["provider_ids"]
        return str(sent)

    def change(self, question: str, method: str, sent: str, **params: Any) -> None:
        """Edit or delete an answer to a message of a visitor, as the core does."""
        changed = self._ask(method, question, message={"provider_id": sent}, **params)
        assert "result" in changed, changed

    def _ask(self, method: str, question: str, **params: Any) -> Any:
        conversation = self.received(question)[0]["params"]["conversation"]["id"]
        return self.process.call(method, {"channel": "web", "conversation": conversation, **params})


class Visitor:
    """Somebody at a page with the widget."""

    def __init__(self, page: Page, url: str) -> None:
        """Open the page, and the chat."""
        self.page = page
        self.troubles: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", self._heard)
        page.goto(url)
        self.open()

    def open(self) -> None:
        """Open the chat, unless it is."""
        self.page.locator("omnigate-chat .launcher").wait_for(state="attached")
        if not self.panel.is_visible():
            self.page.locator("omnigate-chat .launcher").click()

    @property
    def panel(self) -> Locator:
        """The window of the chat."""
        return self.page.locator("omnigate-chat .panel")

    def say(self, text: str) -> None:
        """Type and send."""
        box = self.panel.locator("textarea")
        box.fill(text)
        box.press("Enter")

    def sees(self, text: str, kind: str = "") -> Locator:
        """Wait until a message is shown, once; `kind` is a class of it: ``mine``, ``sent``, ``agent``."""
        found = self.panel.locator(f".m{kind and '.' + kind}", has=self.page.get_by_text(text, exact=True))
        found.first.wait_for()
        assert found.count() == 1
        return found

    def _heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.troubles.append(message.text)
