"""Derived ids: the same everywhere, and nothing of a sender's choosing is kept to make them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import ids

FIELD = st.text(max_size=20)
MIB = 1_048_576


@given(FIELD, FIELD, FIELD, FIELD, FIELD)
def test_ids_are_digests_of_their_fields(channel: str, kind: str, scope: str, native: str, revision: str) -> None:
    for each in (scope, scope + "x" * ids.KEPT_CHARS):
        assert ids.dedup_key(channel, kind, each, native, revision) == ids.digest(channel, kind, each, native, revision)
        assert ids.message_id(channel, each, native) == "msg_" + ids.digest(channel, each, native)
        assert ids.conversation_id(channel, each) == "cnv_" + ids.digest(channel, each)
        assert ids.contact_id(kind, each) == "ctc_" + ids.digest(kind, each)


@pytest.mark.parametrize(
    "name",
    [
        lambda long: ids.conversation_id("shop", long),
        lambda long: ids.contact_id("mailto", long),
        lambda long: ids.message_id("shop", long, "1"),
        lambda long: ids.dedup_key("shop", "message", long, "1"),
    ],
    ids=["conversation", "contact", "message", "key"],
)
def test_ids_as_long_as_a_delivery_are_not_kept(name) -> None:
    tracemalloc.start()
    try:
        for number in range(64):
            name(f"{number}" + "x" * MIB)
        assert tracemalloc.get_traced_memory()[0] < 4 * MIB
    finally:
        tracemalloc.stop()
