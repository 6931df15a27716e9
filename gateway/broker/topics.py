"""Matching of routing keys against binding keys, as topic exchanges do it.

A binding key is words separated by dots; ``*`` stands for exactly one word, ``#`` for zero or more
(AMQP 0-9-1 specification, section 3.1.3.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

MOST_KEYS = 10_000
"""Routing keys remembered; beyond it the cache starts anew, so that odd keys cannot fill the memory."""


def matches(binding_key: str, routing_key: str) -> bool:
    """Tell whether a topic exchange would route `routing_key` over `binding_key`."""
    return _match(tuple(binding_key.split(".")), tuple(routing_key.split(".")))


@lru_cache(maxsize=MOST_KEYS)
def _match(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    # The usual glob walk: remember the last `#` and let it swallow one word more whenever the rest does not fit.
    at = star = -1
    p = w = 0
    while w < len(words):
        if p < len(pattern) and pattern[p] == "#":
            star, at, p = p, w, p + 1
        elif p < len(pattern) and pattern[p] in {"*", words[w]}:
            p, w = p + 1, w + 1
        elif star >= 0:
            at += 1
            p, w = star + 1, at
        else:
            return False
    return all(word == "#" for word in pattern[p:])


class Routes:
    """Bindings of the exchanges, with the answer for every routing key remembered."""

    def __init__(self, bindings: Iterable[tuple[str, str, str]]) -> None:
        """Take ``(exchange, binding key, queue)``."""
        self._bindings: dict[str, list[tuple[str, str]]] = {}
        for exchange, key, queue in bindings:
            self._bindings.setdefault(exchange, []).append((key, queue))
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    def queues(self, exchange: str, routing_key: str) -> tuple[str, ...]:
        """Name the queues that get a message; each once, however many of its bindings match."""
        found = self._known.get((exchange, routing_key))
        if found is None:
            if len(self._known) >= MOST_KEYS:
                self._known.clear()
            bindings = self._bindings.get(exchange, ())
            found = tuple(dict.fromkeys(queue for key, queue in bindings if matches(key, routing_key)))
            self._known[exchange, routing_key] = found
        return found
