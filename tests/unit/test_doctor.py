"""What the doctor makes of what it is told: terms, URLs, scopes, marks, silence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.embedded import EmbeddedDeduplicator
from gateway.doctor.derived import derived
from gateway.doctor.marks import BODY_MAX, PREFIX, Marks, marked
from gateway.doctor.patient import findings
from gateway.doctor.silence import Hearing
from gateway.doctor.terms import moment, term
from gateway.state import ChannelState
from normalizer.checks import Check, verification

NOW = 1_795_176_000.0
DAY = 86_400.0
OURS = "https://gw.example/c/tg"


def checks(told: dict[str, Any], url: str | None = OURS) -> dict[str, Check]:
    return {check.name: check for check in derived(told, url, 14.0, NOW)}


@pytest.mark.parametrize(
    ("told", "name", "days"),
    [
        ({"token": {"expires_at": "2026-12-01T00:00:00Z"}}, "token", 10),
        ({"token_expires_in_secs": 10.5 * DAY}, "token", 10),
        ({"token": {"days_left": 10.5}}, "token", 10),
        ({"outgoing": {"tls": {"certificate_days_left": 3}}}, "outgoing.tls.certificate", 3),
        ({"expires_at": NOW + 1.5 * DAY}, "token", 1),
    ],
)
def test_what_ends_within_two_weeks_needs_attention(told: dict[str, Any], name: str, days: int) -> None:
    found = checks(told)[name]

    assert found.ok is False
    assert found.hint
    assert found.expires_at is not None
    assert int((found.expires_at.timestamp() - NOW) // DAY) == days
    assert f"in {days} day" in found.detail


def test_what_the_gateway_renews_itself_and_what_never_ends_is_no_term() -> None:
    assert checks({"access_token": {"expires_in_secs": 7200}, "token": {"expires_at": 0}, "quota": {"left": 3}}) == {}
    assert checks({"token": {"days_left": 60}})["token"].ok is True


KEYS = st.sampled_from(["expires_at", "days_left", "webhook", "url", "error", "message", "missing_scopes", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner)))
def test_whatever_a_provider_tells_is_judged_without_an_error(told: Any) -> None:
    if isinstance(told, dict):
        assert all(check.detail for check in derived(told, OURS, 14.0, NOW))


@pytest.mark.parametrize(
    ("webhook", "ours", "ok"),
    [
        ({"url": OURS}, OURS, True),
        ({"endpoint": OURS + "/"}, OURS, True),
        (OURS, OURS, True),
        ({"url": "https://old.example/c/tg"}, OURS, False),
        ({"url": ""}, OURS, False),
        ({"url": OURS}, None, None),
    ],
)
def test_the_provider_must_deliver_to_us(webhook: Any, ours: str | None, ok: bool | None) -> None:  # noqa: FBT001
    assert checks({"webhook": webhook}, ours)["registered"].ok is ok


def test_failing_deliveries_missing_scopes_and_fields_are_told() -> None:
    found = checks(
        {
            "webhook": {
                "last_error_date": NOW - 60,
                "last_error_message": "Connection refused",
                "missing": ["messages"],
            },
            "missing_scopes": ["chat:write"],
            "quota": {"error": "misconfigured", "message": "the account may not ask"},
        }
    )

    assert {name: check.ok for name, check in found.items()} == {
        "deliveries": False, "subscriptions": False, "scopes": False, "quota": None,
    }  # fmt: skip
    assert checks({"webhook": {"last_error_date": NOW - 2 * DAY, "last_error_message": "long ago"}}) == {}
    assert checks({"missing_scopes": []})["scopes"].ok is True


def test_a_moment_without_a_zone_is_none() -> None:
    assert moment("2026-12-01T00:00:00") is None
    assert moment(datetime(2026, 12, 1)) is None  # noqa: DTZ001
    assert moment("2026-12-01T01:00:00+01:00") == datetime(2026, 12, 1, tzinfo=UTC)
    assert [moment(value) for value in ("soon", True, -1, float("nan"), 10**12, None)] == [None] * 6


def test_a_term_says_how_long_in_words() -> None:
    def said(days: float) -> str:
        ends = datetime.fromtimestamp(NOW, UTC) + timedelta(days=days)
        return term("token", "the token", ends, now=NOW, days=14, hint="renew it").detail.rpartition(", ")[2]

    assert [said(days) for days in (-1, 0.5, 1.5, 20.5)] == [
        "which is past", "in less than a day", "in 1 day", "in 20 days",
    ]  # fmt: skip


def test_a_verification_is_ok_as_long_as_nothing_is_wrong() -> None:
    unknown, wrong = (Check(name="x", ok=ok, detail="seen", hint="do") for ok in (None, False))

    assert verification("tg", (unknown,)).ok
    assert not verification("tg", (unknown, wrong)).ok
    assert {name: one.reason for name, one in findings((unknown, wrong)).items()} == {"x": "seen; do"}


@pytest.fixture
async def states(tmp_path: Path) -> AsyncIterator[tuple[ChannelState, ChannelState]]:
    """One channel's state as two workers see it."""
    stores = [EmbeddedDeduplicator(tmp_path / "dedup.db") for _ in range(2)]
    for store in stores:
        await store.open()
    yield ChannelState(stores[0], "tg"), ChannelState(stores[1], "tg")
    for store in stores:
        await store.close()


async def test_a_mark_is_known_to_every_worker_and_only_if_it_was_given_out(
    states: tuple[ChannelState, ChannelState],
) -> None:
    ours, theirs = (Marks(state) for state in states)
    mark = await ours.give()
    body = f'{{"text": "{mark}"}}'.encode()
    made_up = body.replace(mark.encode(), PREFIX + b"0" * 32)

    assert marked(body)
    assert not await ours.came(mark)
    assert await theirs.take(body)
    assert await ours.came(mark)
    assert not await theirs.take(made_up)
    assert not await theirs.take(b"what is omnigate-doctor- for?")
    assert not marked(b"hello")
    assert not marked(body + b" " * BODY_MAX)


async def test_silence_ends_when_another_node_hears_something(states: tuple[ChannelState, ChannelState]) -> None:
    one, two = Hearing(states[0], NOW), Hearing(states[1], NOW)

    assert await one.last({}, "tg", NOW + 50) == NOW
    assert await two.last({"tg": 1.0, "other": 5.0}, "tg", NOW + 60) == NOW + 60
    assert await one.last({"other": 9.0}, "tg", NOW + 70) == NOW + 60
    assert await two.last({"tg": 1.0}, "tg", NOW + 80) == NOW + 60


async def test_a_gateway_that_was_away_does_not_call_that_silence(states: tuple[ChannelState, ChannelState]) -> None:
    await Hearing(states[0], NOW).last({"tg": 3.0}, "tg", NOW)

    assert await Hearing(states[1], NOW + 10 * DAY).last({}, "tg", NOW + 10 * DAY + 5) == NOW + 10 * DAY
