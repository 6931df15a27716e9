"""What is asked of a simulator becomes the right deliveries, and the report says what came of them."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import jmespath
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.declarative import DeclarativeConfig
from connectors.declarative_options import Handshake as HandshakeOption
from connectors.declarative_options import HmacVerify, NoVerify
from connectors.secrets import Secret
from connectors.telegram import TelegramConfig
from gateway.simulate import registry
from gateway.simulate.api import Handshake, Simulator
from gateway.simulate.report import Report, summarize
from gateway.simulate.traffic import Delivery, Manner, arranged
from gateway.simulate.wanted import Wanted, deliveries, items
from gateway.simulate.webhook import WebhookSimulator
from gateway.simulate.webhook_inverse import NotInvertible, document_for, merge
from normalizer.codecs.declarative_options import Receive, Send

URL = "https://gw.example/c/orders"
NOW = 1_795_000_000.0


def webhook(each: str = "messages[]", extra: dict[str, str] | None = None, **receive: Any) -> WebhookSimulator:
    fields = {"id": "id", "sender": "from", "text": "text", "sent_at": "at", **receive}
    options = DeclarativeConfig(receive=Receive(each=each, **fields), verify=NoVerify())
    return WebhookSimulator(options, url=URL, extra=extra)


def telegram() -> Simulator[Any]:
    made = registry.simulator_of("telegram")
    return made(TelegramConfig(token=Secret("1:a"), secret=Secret("s")), url=URL)


def bodies(wanted: Wanted, simulator: Simulator[Any]) -> list[Any]:
    found = list(deliveries(wanted, simulator, lambda: NOW))
    return [msgspec.json.decode(one.request.body) for one in found if not one.name.startswith("malformed")]


def test_things_are_put_into_deliveries_of_the_size_asked_for() -> None:
    sizes = [len(body["messages"]) for body in bodies(Wanted(count=7, batch=3), webhook())]

    assert sizes == [3, 3, 1]


def test_lateness_is_that_of_the_things_and_not_of_the_clock() -> None:
    (body,) = bodies(Wanted(late=3600), webhook())

    assert body["messages"][0]["at"] == NOW - 3600


def test_every_run_has_ids_of_its_own_unless_the_first_number_is_given() -> None:
    def ids(clock: float, **wanted: Any) -> list[int]:
        return [one.number for one in items(Wanted(count=2, **wanted), telegram(), lambda: clock)]

    assert ids(NOW) != ids(NOW + 1)
    assert ids(NOW, first=5) == ids(NOW + 1, first=5) == [5, 6]


def test_persons_take_turns_and_the_text_tells_the_number() -> None:
    made = list(items(Wanted(count=4, chats=3, first=1, text="no. {n}"), telegram()))

    assert [one.person for one in made] == [1, 2, 3, 1]
    assert [one.text for one in made] == ["no. 1", "no. 2", "no. 3", "no. 4"]


@given(count=st.integers(1, 60), bad=st.integers(0, 60))
def test_as_many_items_of_batches_are_spoilt_as_asked_for(count: int, bad: int) -> None:
    made = list(items(Wanted(count=count, bad=bad, batch=5), webhook()))

    assert sum(one.spoilt for one in made) == min(bad, count)


def test_without_batches_bad_ones_are_deliveries_of_their_own() -> None:
    wanted = Wanted(count=20, bad=3, malformed=True)
    found = list(deliveries(wanted, telegram()))

    assert len(found) == wanted.expected == 25
    assert sum(one.name.startswith("malformed") for one in found) == 5


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(kind="fax"), "there are text, photo"),
        (Wanted(batch=2), "one by one"),
        (Wanted(count=-1), "negative"),
    ],
)
def test_what_a_provider_cannot_do_is_said(wanted: Wanted, words: str) -> None:
    assert words in (wanted.problem(telegram()) or "")


def arranged_names(manner: Manner, count: int) -> list[tuple[str, int]]:
    request = telegram().malformed(0)
    source = [Delivery(name=str(number), request=request) for number in range(count)]
    return [(one.name, one.mark) for one in arranged(source, manner)]


def test_a_share_of_deliveries_is_doubled() -> None:
    random.seed(7)
    counts = Counter(name for name, _ in arranged_names(Manner(duplicates=1.25), 400))

    assert set(counts.values()) == {2, 3}
    assert 60 < sum(count == 3 for count in counts.values()) < 140


def test_retries_are_marked_as_the_providers() -> None:
    assert arranged_names(Manner(retries=2), 1) == [("0", 0), ("0", 1), ("0", 2)]


def test_percentiles_are_those_of_the_answers() -> None:
    report = Report(latencies=array("d", (number / 1000 for number in range(100, 0, -1))))

    assert report.latency_ms() == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert Report().latency_ms() == {}


def test_scripts_get_the_report_as_json() -> None:
    report = Report(
        sent=2, accepted=1, failed=1, seconds=2.0, statuses=Counter({200: 1, 0: 1}), latencies=array("d", [1])
    )
    told = msgspec.json.decode(summarize(report))

    assert told["statuses"] == {"none": 1, "200": 1}
    assert (told["per_second"], told["latency_ms"]["max"]) == (1.0, 1000.0)


@pytest.mark.parametrize(
    "expression",
    [
        "id",
        "a.b.c",
        '"odd-key"',
        "a[0].b",
        "entry[].changes[].value.messages[]",
        "entry[*].changes[]",
        "entry[].[messages, statuses][][]",
        "messages[?type == 'text']",
        "messages[?'text' == type].body",
        "first || second",
        "a | b",
        "@",
        "to_string(x.y)",
    ],
)
def test_an_expression_finds_in_its_document_what_was_put_there(expression: str) -> None:
    value: Any = [{"n": 1}, {"n": 2}] if "[]" in expression or "[*" in expression or "[?" in expression else "word"
    found = jmespath.search(expression, document_for(expression, value))

    expected = [{**one, "type": "text"} if expression == "messages[?type == 'text']" else one for one in value]
    assert found == (expected if isinstance(value, list) else value)


def test_a_built_id_is_unique_by_its_last_piece() -> None:
    document = document_for("join('-', [from.phone, to_string(timestamp)])", "17")

    assert document == {"timestamp": "17"}


@pytest.mark.parametrize("expression", ["length(x)", "x[?y > `1`]", "a && b", "join('-', x)"])
def test_what_has_no_inverse_says_so(expression: str) -> None:
    with pytest.raises(NotInvertible):
        document_for(expression, "1")


def test_documents_are_merged_deeply() -> None:
    assert merge({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}, "c": None}) == {"a": {"b": 1, "d": 3}, "c": 2}


def test_a_channel_that_cannot_be_read_backwards_needs_an_example(tmp_path: Path) -> None:
    sample = tmp_path / "one.json"
    sample.write_text('{"id": "{n}", "who": "{sender}", "text": "{text}"}')

    with pytest.raises(ValueError, match="--extra sample=FILE"):
        webhook(id="sort(x)[0]")
    (body,) = bodies(Wanted(first=5, text="hi"), webhook(id="sort(x)[0]", extra={"sample": str(sample)}))
    assert body == {"id": "5", "who": "+49300000001", "text": "hi"}


def test_a_channel_that_only_sends_cannot_be_simulated() -> None:
    options = DeclarativeConfig(base_url="https://x.example", send=Send(path="/m"))

    with pytest.raises(ValueError, match="only sends"):
        WebhookSimulator(options, url=URL)


def test_a_signed_time_in_the_header_of_the_signature_is_written_as_its_reader_wants_it() -> None:
    verify = HmacVerify(
        header="Stripe-Signature",
        secret=Secret("s"),
        prefix="v1=",
        timestamp_header="Stripe-Signature",
        timestamp_prefix="t=",
        payload="{timestamp}.{body}",
    )
    options = DeclarativeConfig(receive=Receive(id="id", sender="from"), verify=verify)
    made = WebhookSimulator(options, url=URL)
    signed = made.sign(made.malformed(0), NOW)

    assert signed.headers["Stripe-Signature"].startswith(f"t={int(NOW)},v1=")
    assert (made.signs_body, made.signs_time) == (True, True)


def test_a_challenge_in_the_body_is_put_where_the_channel_looks_for_it() -> None:
    options = DeclarativeConfig(
        receive=Receive(id="id", sender="from"),
        verify=NoVerify(),
        handshake=HandshakeOption(field="event.challenge", reply="json"),
    )
    handshake = WebhookSimulator(options, url=URL).handshake(NOW)

    assert handshake is not None
    assert msgspec.json.decode(handshake.request.body) == {"event": {"challenge": "simulated-challenge"}}
    assert handshake.body == {"challenge": "simulated-challenge"}


def test_a_handshake_compares_text_exactly_and_objects_in_part() -> None:
    request = telegram().malformed(0)
    exact = Handshake(request=request, body=b"123")
    part = Handshake(request=request, body={"challenge": "123"})

    assert exact.complaint(200, b"123") is None
    assert exact.complaint(403, b"123") == "HTTP 403 instead of 200"
    assert exact.complaint(200, b"1234") is not None
    assert part.complaint(200, b'{"challenge": "123", "more": 1}') is None
    assert part.complaint(200, b'{"challenge": "124"}') is not None
    assert part.complaint(200, b"123") is not None
    assert part.complaint(200, b"no JSON") == "the answer is not JSON"


def test_every_simulator_is_described_before_it_is_imported() -> None:
    found = registry.kinds()

    assert {"telegram", "webhook"} <= set(found)
    for kind in found:
        assert issubclass(registry.simulator_of(kind), Simulator)
        assert registry.WORDS[kind].endswith(".")


def test_a_kind_without_cloud_side_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("gateway.simulate.webhook.CLOUD")

    with pytest.raises(LookupError, match="webhook"):
        registry.cloud("webhook")
