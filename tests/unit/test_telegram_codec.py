"""What the Telegram codec reads; the cases themselves are files in ``tests/payloads/telegram``."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Message, Update

from normalizer import parts as p
from normalizer.codecs.telegram import TelegramCodec
from normalizer.errors import MalformedPayload
from normalizer.model import ChannelRef, EventParams, MessageParams
from normalizer.raw import Event, Ignored, RawEvent

PAYLOADS = sorted((Path(__file__).parent.parent / "payloads" / "telegram").glob("*.in.json"))
FUTURE = "future-update"
"""What no library knows."""


def raw(body: bytes | dict[str, Any], channel: str = "tg") -> RawEvent:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return RawEvent(
        channel=ChannelRef(id=channel, type="telegram"), kind="telegram", body=data, received_at=datetime.now(UTC)
    )


def decode(body: bytes | dict[str, Any]) -> list[Event | Ignored]:
    return [one for one in TelegramCodec("110201543").decode(raw(body)) if isinstance(one, Event | Ignored)]


def one(body: bytes | dict[str, Any]) -> Event:
    (event,) = decode(body)
    assert isinstance(event, Event)
    return event


def payload(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(path for path in PAYLOADS if path.name == f"{name}.in.json").read_bytes())
    return found


def message(update: dict[str, Any]) -> Any:
    params = one(update).params
    assert isinstance(params, MessageParams)
    return params.message


def files(found: Message) -> Iterator[Any]:
    yield from (found.photo[-1:] and [max(found.photo, key=lambda size: size.width)]) or ()
    kinds = (found.voice, found.audio, found.animation or found.document, found.video, found.video_note, found.sticker)
    yield from filter(None, kinds)


def completed(value: Any) -> Any:
    """Add what today's objects have and the page's old examples lack."""
    if isinstance(value, list):
        return [completed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    filled = {name: completed(inner) for name, inner in value.items()}
    if "inline_message_id" in filled:
        filled.setdefault("chat_instance", "1")
    if "file_id" in filled:
        filled.setdefault("file_unique_id", "u")
    for name, field, default in (("from", "is_bot", False), ("chat", "type", "private")):
        if isinstance(filled.get(name), dict):
            filled[name].setdefault(field, default)
    return filled


@pytest.mark.parametrize("path", [path for path in PAYLOADS if FUTURE not in path.name], ids=lambda path: path.stem)
def test_an_independent_library_reads_the_same_message(path: Path) -> None:
    update = Update.de_json(completed(json.loads(path.read_bytes())), None)
    found = update.effective_message
    events = [event for event in decode(path.read_bytes()) if isinstance(event, Event)]

    assert update.update_id == json.loads(path.read_bytes())["update_id"]
    for event in events:
        chat = update.effective_chat
        if event.params.conversation is not None and chat is not None:
            assert event.params.conversation.provider_id.rpartition("/")[2] == str(chat.id)
    if not isinstance(found, Message) or update.callback_query or not isinstance(events[0].params, MessageParams):
        return
    ours = events[0].params.message
    assert ours.provider_id == str(found.message_id)
    assert ours.sent_at == found.date
    assert found.text is None or ours.text == found.text
    media = [part.media for part in ours.parts if isinstance(part, p.MediaPart)]
    assert [one.provider_id for one in media] == [one.file_id for one in files(found)]
    assert [one.caption for one in media] == [found.caption for _ in media]


def test_the_same_message_in_another_update_has_the_same_ids() -> None:
    first, again = payload("text"), payload("text")
    again["update_id"] += 1

    assert one(first).key == one(again).key
    assert one(first).params.event_id == one(again).params.event_id


def test_the_same_message_id_in_another_chat_is_another_message() -> None:
    here, there = payload("text"), payload("text")
    there["message"]["chat"]["id"] += 1

    assert one(here).key != one(there).key
    assert message(here).id != message(there).id


def test_an_edit_is_a_later_revision_of_the_same_message() -> None:
    first = payload("text")
    edited = {"update_id": 2, "edited_message": {**first["message"], "text": "Sorry", "edit_date": 1795000001}}

    assert one(edited).method == "message.updated"
    assert message(edited).id == message(first).id
    assert message(edited).revision > message(first).revision
    assert one(edited).key != one(first).key


def test_two_edits_within_one_second_are_both_told_and_a_repeated_one_is_not() -> None:
    first = {**payload("text")["message"], "edit_date": 1795000001}
    second = {**first, "text": "Sorry, another order"}
    keys = [one({"update_id": n, "edited_message": edit}).key for n, edit in enumerate((first, second, second))]

    assert keys[0] != keys[1]
    assert keys[1] == keys[2]


def test_a_button_pressed_twice_is_two_presses() -> None:
    first, second = payload("callback"), payload("callback")
    second["callback_query"]["id"] = "5476834598347583498"

    assert one(first).key != one(second).key


def test_a_reaction_is_not_the_message_it_stands_on() -> None:
    events = decode(payload("reactions-changed"))
    changed = payload("topic")

    refs = {event.params.message.id for event in events if isinstance(event, Event)}  # type: ignore[attr-defined]
    assert refs == {message(changed).id}
    assert one(changed).key not in {event.key for event in events if isinstance(event, Event)}


def test_a_deletion_names_the_message_and_is_an_event_of_its_own() -> None:
    received, deleted = one(payload("business-message")), decode(payload("business-deleted"))[0]

    assert isinstance(deleted, Event)
    assert deleted.params.message.id == message(payload("business-message")).id  # type: ignore[attr-defined]
    assert deleted.key != received.key


def test_an_answer_goes_to_the_conversation_it_came_from() -> None:
    for name in ("text", "topic", "business-message", "callback"):
        conversation = one(payload(name)).params.conversation
        assert conversation is not None
        assert conversation.provider_id


def test_the_error_names_the_field_and_not_what_stood_in_it() -> None:
    update = payload("text")
    update["message"]["text"] = {"secret": "hunter2"}

    with pytest.raises(MalformedPayload, match=r"\$\.message\.text") as caught:
        decode(update)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_deep_nesting_is_malformed_wherever_it_stands(depth: int) -> None:
    nest = b"[" * depth + b"]" * depth
    start = b'{"update_id":1,"message":{"message_id":1,"date":1,"chat":{"id":1},'
    for field in (b'"quote":{"a":', b'"new_chat_title":{"a":', b'"entities":[{"a":'):
        end = b"}]}}" if field.endswith(b'[{"a":') else b"}}}"
        with pytest.raises(MalformedPayload):
            decode(start + field + nest + end)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    update = copy.deepcopy(json.loads(draw(st.sampled_from(PAYLOADS)).read_bytes()))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(update), key=str)))
        target = update
        try:
            for key in path[:-1]:
                target = target[key]
            if draw(st.booleans()):
                target[path[-1]] = draw(JSON)
            else:
                del target[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if not update:
            break
    return json.dumps(update).encode("utf-8", "surrogatepass")


@given(mutated() | st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
def test_nothing_but_malformed_payload_is_raised_and_what_is_read_can_be_written(body: bytes) -> None:
    with suppress(MalformedPayload):
        for event in decode(body):
            if isinstance(event, Event):
                assert isinstance(event.params, EventParams)
                written = msgspec.json.encode(event.params)
                assert msgspec.json.decode(written, type=type(event.params)).event_id == event.params.event_id
