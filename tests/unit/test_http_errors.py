"""What an HTTP answer means, and that nothing of ours gets into an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from connectors.errors import Misconfigured, Refused, SendError, Throttled, Unreachable
from connectors.http import Answer, refusal, retry_after, shorten

NOW = 1_795_000_000.0
DATE = "Wed, 18 Nov 2026 11:06:40 GMT"
LATER = "Wed, 18 Nov 2026 11:08:10 GMT"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=CIMultiDict(named), body=body)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Misconfigured), (400, Refused), (401, Misconfigured), (402, Misconfigured), (403, Misconfigured),
        (404, Refused), (408, Unreachable), (409, Refused), (410, Refused), (413, Refused), (422, Refused),
        (425, Unreachable), (429, Throttled), (500, Unreachable), (502, Unreachable), (503, Unreachable),
        (504, Unreachable), (599, Unreachable),
    ],
)  # fmt: skip
def test_a_status_says_whether_to_try_again(status: int, expected: type[SendError]) -> None:
    error = refusal(answer(status))

    assert type(error) is expected
    assert error.provider_code == str(status)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_is_no_error(status: int) -> None:
    assert refusal(answer(status)) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_says_how_long_to_wait_pauses_the_channel(status: int) -> None:
    error = refusal(answer(status, retry_after="12"))

    assert isinstance(error, Throttled)
    assert error.retry_after == 12


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", "", 7.0), ("1.5", "", 1.5), (LATER, "", 90.0), (LATER, DATE, 90.0), (DATE, LATER, 0.0), ("-3", "", 0.0),
        ("", "", None), ("soon", "", None), ("nan", "", None), ("inf", "", None),
        ("Wed, 99 Nov 2026 11:06:40 GMT", "", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, date: str, seconds: float | None) -> None:
    headers = {"Retry-After": value, **({"Date": date} if date else {})}

    assert retry_after(headers, lambda: NOW) == seconds


@given(st.text(), st.text())
def test_any_header_is_read_or_ignored(value: str, date: str) -> None:
    wait = retry_after({"Retry-After": value, "Date": date}, lambda: NOW)

    assert wait is None or wait >= 0


def test_secrets_that_a_provider_repeats_are_taken_out_before_the_text_is_cut() -> None:
    error = refusal(answer(400, b"x" * 190 + b" no route /bot12:AAH/sendMessage"), hide=("12:AAH", ""))

    assert error is not None
    assert "AAH" not in (error.provider_text or "")


@given(st.binary(max_size=3000))
def test_the_providers_words_are_one_printable_line(body: bytes) -> None:
    text = shorten(body)

    assert len(text) <= 200
    assert text.isprintable()
