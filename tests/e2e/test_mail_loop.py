"""Two gateways whose cores answer every mail at once: they stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers.gateway import GatewayProcess
from tests.servers.mail_core import Answer, Core
from tests.servers.process import free_port, wait_until

pytestmark = pytest.mark.slow

LIMIT = 6
QUIET_SECS = 1.0
"""Longer than a mail and its answer take, by far; what comes even later is a second loop, which must not be."""

Pair = tuple[Core, Core]


def channel(own: int, other: int, name: str) -> str:
    """Configure a channel whose mail server is the other gateway."""
    return (
        f'[channels.mail]\nkind = "email"\naddresses = ["{name}@{name}.example"]\n'
        f"answers = {{ per_hour = {LIMIT}, automatic_per_hour = {LIMIT} }}\n"
        f'smtp = {{ listen = "127.0.0.1:{own}", settle_secs = 0 }}\n'
        f'outgoing = {{ host = "127.0.0.1", port = {other}, tls = "none", from = "{name}@{name}.example" }}\n'
    )


@pytest.fixture
def make_pair(make_gateway: Callable[..., GatewayProcess]) -> Iterator[Callable[[Answer], Pair]]:
    with ExitStack() as stack:

        def make(answer: Answer) -> Pair:
            left, right = free_port(), free_port()
            one = make_gateway(channels=channel(left, right, "anna"))
            two = make_gateway(channels=channel(right, left, "bert"))
            cores = Core(one, "mail", answer), Core(two, "mail", answer)
            for core in cores:
                stack.callback(core.close)
            return cores

        yield make


def settled(anna: Core, bert: Core) -> None:
    """Wait until an answer was refused, and then until nothing has been said for a while."""
    wait_until(lambda: any("error" in one for one in (*anna.answers, *bert.answers)), timeout=60, what="a refusal")
    seen, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal seen, since
        now = len(anna.events) + len(bert.events) + len(anna.answers) + len(bert.answers)
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > QUIET_SECS

    wait_until(still, timeout=60, what="silence")


def sent(core: Core) -> int:
    return sum(params["status"] == "sent" for params in core.told("message.status"))


def test_two_cores_that_hide_what_they_are_stop_after_the_configured_number(
    make_pair: Callable[[Answer], Pair],
) -> None:
    anna, bert = make_pair(lambda params: {"conversation": params["conversation"]["id"], "text": "Thank you!"})
    assert "result" in anna.send(to="bert@bert.example", text="Hello")
    bert.wait("message.received")
    settled(anna, bert)

    assert sent(anna) == LIMIT, "the first one and its answers"
    assert sent(bert) == LIMIT
    assert [answer["error"]["code"] for answer in anna.answers if "error" in answer] == [-32007]
    assert "as in a loop" in anna.answers[-1]["error"]["message"]
    conversations = {params["conversation"]["id"] for params in bert.told("message.received")}
    assert len(conversations) == 1, "it was one conversation all the time"


def test_cores_that_say_what_they_are_do_not_even_begin(make_pair: Callable[[Answer], Pair]) -> None:
    def answer(params: dict[str, Any]) -> dict[str, Any]:
        return {
            "conversation": params["conversation"]["id"],
            "in_response_to": params["message"]["id"],
            "text": "We have your mail.",
            "metadata": {"email": {"auto": "true"}},
        }

    anna, bert = make_pair(answer)
    assert "result" in anna.send(to="bert@bert.example", text="Where is my parcel?")
    anna.wait("message.received")
    settled(anna, bert)

    (greeting,) = anna.told("message.received")
    assert greeting["message"]["flags"]["auto_generated"] is True
    assert (sent(anna), sent(bert)) == (1, 1)
    (refusal,) = anna.answers
    assert refusal["error"]["code"] == -32007
    assert "RFC 3834" in refusal["error"]["message"]
