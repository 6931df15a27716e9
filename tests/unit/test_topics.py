"""Topic matching against the rules of AMQP 0-9-1, section 3.1.3.3."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.topics import MOST_KEYS, Routes, matches

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=6)


@pytest.mark.parametrize(
    ("binding_key", "routing_key"),
    [
        ("v1.*.*.message.#", "v1.telegram.shop.message.received"),
        ("v1.email.#", "v1.email.de.message.received"),
        ("v1.sip.*.call.transcript.final", "v1.sip.hotline.call.transcript.final"),
        ("#", ""),
        ("#", "a.b.c"),
        ("a.#", "a"),
        ("#.b", "b"),
        ("a.#.b", "a.b"),
        ("a.#.b", "a.x.b.y.b"),
        ("#.#", "a"),
        ("*", "a"),
        ("a.*.#", "a.b"),
    ],
)
def test_key_that_a_topic_exchange_routes_matches(binding_key: str, routing_key: str) -> None:
    assert matches(binding_key, routing_key)


@pytest.mark.parametrize(
    ("binding_key", "routing_key"),
    [
        ("v1.*.*.message.#", "v1.telegram.shop.receipt.read"),
        ("v1.*.message.received", "v1.telegram.shop.message.received"),
        ("*", "a.b"),
        ("a.*", "a"),
        ("a", "A"),
        ("a.#.b", "a.x"),
        ("message", "messages"),
    ],
)
def test_key_that_a_topic_exchange_does_not_route_does_not_match(binding_key: str, routing_key: str) -> None:
    assert not matches(binding_key, routing_key)


@given(PATTERNS, WORDS)
def test_matching_agrees_with_a_regular_expression(pattern: list[str], words: list[str]) -> None:
    # Every word of the key is written with a dot behind it, so that `#` is any run of such words.
    expression = "".join({"*": r"[^.]+\.", "#": r"(?:[^.]+\.)*"}.get(word, word + r"\.") for word in pattern)
    if not pattern or not words:  # the empty key is one empty word; the expression cannot say that
        return

    expected = re.fullmatch(expression, "".join(word + "." for word in words)) is not None

    assert matches(".".join(pattern), ".".join(words)) == expected


def test_queue_is_named_once_however_many_of_its_bindings_match() -> None:
    routes = Routes([("x", "a.#", "one"), ("x", "#", "one"), ("x", "a.b", "two"), ("y", "a.b", "three")])

    assert routes.queues("x", "a.b") == ("one", "two")
    assert routes.queues("y", "a.c") == ()


def test_odd_keys_do_not_fill_the_memory() -> None:
    routes = Routes([("x", "#", "one")])

    for number in range(MOST_KEYS * 2):
        routes.queues("x", f"k{number}")

    assert len(routes._known) <= MOST_KEYS
