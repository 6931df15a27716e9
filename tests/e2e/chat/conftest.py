"""Chromium, and a gateway with a web chat, one of each for a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.servers.chat_page import ChatGateway, Visitor, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatGateway]:
    made = ChatGateway(tmp_path_factory.mktemp("chat") / "gateway")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def arrive(browser: Browser, gateway: ChatGateway) -> Iterator[Callable[..., Visitor]]:
    """Open the demo page as somebody new, or (`of`) in another tab of the same browser."""
    contexts, visitors = [], []

    def open_page(
        query: str = "", *, of: Visitor | None = None, prepare: Callable[[Page], None] | None = None
    ) -> Visitor:
        if of is None:
            contexts.append(browser.new_context(locale="en-GB", reduced_motion="reduce"))
        page = (contexts[-1] if of is None else of.page.context).new_page()
        if prepare is not None:
            prepare(page)
        visitors.append(Visitor(page, gateway.url + query))
        return visitors[-1]

    yield open_page
    troubles = [trouble for visitor in visitors for trouble in visitor.troubles]
    for context in contexts:
        context.close()
    assert not troubles
