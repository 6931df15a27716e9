"""Signatures, against vectors of RFCs and of providers' own documentation."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import Unauthorized
from connectors.signatures import check_basic, check_digest, check_hmac, check_timestamp, check_token

GITHUB = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
RFC4231_SHA512 = (
    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
)
SLACK_BODY = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


@pytest.mark.parametrize(
    ("key", "payload", "algorithm", "signature"),
    [
        # RFC 2202 section 3, case 2; RFC 4231 sections 4.3 (SHA-256, SHA-512)
        ("Jefe", b"what do ya want for nothing?", "sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            "Jefe",
            b"what do ya want for nothing?",
            "sha256",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "Jefe",
            b"what do ya want for nothing?",
            "sha512",
            RFC4231_SHA512,
        ),
    ],
)
def test_rfc_vectors_fit(key, payload, algorithm, signature):
    check_hmac(signature, payload, key, algorithm=algorithm)
    check_hmac(signature.upper(), payload, key, algorithm=algorithm)


def test_github_style_prefix():
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    check_hmac(f"sha256={GITHUB}", b"Hello, World!", "It's a Secret to Everybody", prefix="sha256=")


def test_slack_style_signed_time():
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    check_hmac(
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        f"v0:1531420618:{SLACK_BODY}".encode(),
        "8f742231b10e8888abcd99yyyzzz85a5",
        prefix="v0=",
    )
    check_timestamp("1531420618", 1531420618 + 299)


def test_svix_style_several_signatures_in_base64():
    # https://docs.svix.com/receiving/verifying-payloads/how-manual
    check_hmac(
        "v1,bm9wZQ== v2,bm9wZQ== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}',
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        encoding="base64",
        prefix="v1,",
    )


def test_stripe_style_signatures_among_other_fields():
    check_hmac(f"t=1492774577,v0=6ffbb5,v1={GITHUB}", b"Hello, World!", "It's a Secret to Everybody", prefix="v1=")


def test_base64_is_read_in_either_alphabet_with_or_without_padding():
    digest = bytes(range(248, 256)) * 4
    plain, safe = base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()

    for written in (plain, safe, safe.rstrip("=")):
        check_digest(written, digest, encoding="base64")


def test_either_key_fits_while_a_secret_is_being_changed():
    check_hmac(GITHUB, b"Hello, World!", "the new one", "It's a Secret to Everybody")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        GITHUB,  # without its prefix
        f"sha256={GITHUB[:-1]}0",
        f"sha256={GITHUB[:-2]}",
        "sha256=zz",
        "sha1=" + GITHUB,
        "sha256=" + "é" * 64,
        "\udcff",
    ],
)
def test_what_does_not_fit_is_refused(signature):
    with pytest.raises(Unauthorized) as caught:
        check_hmac(signature, b"Hello, World!", "It's a Secret to Everybody", prefix="sha256=")

    assert caught.value.status == 401
    assert GITHUB[:8] not in str(caught.value)


def test_a_signature_of_another_body_is_refused():
    with pytest.raises(Unauthorized):
        check_hmac(GITHUB, b"Hello, World?", "It's a Secret to Everybody")


def test_without_a_key_nothing_fits():
    with pytest.raises(Unauthorized):
        check_hmac(GITHUB, b"Hello, World!")


def test_a_header_full_of_signatures_is_not_searched_for_ever():
    with pytest.raises(Unauthorized):
        check_hmac(",".join(["00"] * 8 + [GITHUB]), b"Hello, World!", "It's a Secret to Everybody")


def test_tokens():
    check_token("word", "word")
    check_token("grün", "other", "grün")

    for given_token, expected in ((None, ["word"]), ("", ["", "word"]), ("Word", ["word"]), ("word", [])):
        with pytest.raises(Unauthorized):
            check_token(given_token, *expected)


def test_basic_credentials():
    # RFC 7617 section 2
    check_basic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame")
    check_basic("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame")

    for header in (None, "", "Basic", "Basic %%%", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic QWxhZGRpbjo="):
        with pytest.raises(Unauthorized):
            check_basic(header, "Aladdin", "open sesame")
    with pytest.raises(Unauthorized):
        check_basic("Basic QWxhZGRpbjo=", "Aladdin", "")


@pytest.mark.parametrize(
    "value", ["1531420618", "1531420618.25", "1531420618000", "2018-07-12T18:36:58Z", "2018-07-12T18:36:58"]
)
def test_times_of_all_notations(value):
    check_timestamp(value, 1531420618.0, max_age_secs=1)


@pytest.mark.parametrize(
    "value", [None, "", "now", "-1", "1e9", "nan", "9" * 40, "١٥٣١٤٢٠٦١٨", "1531420317", "1531420919"]
)
def test_times_that_are_unreadable_or_outside_the_window_are_refused(value):
    with pytest.raises(Unauthorized):
        check_timestamp(value, 1531420618.0)


@given(value=st.text(), other=st.text(min_size=1))
def test_no_header_makes_a_check_raise_anything_but_unauthorized(value, other):
    for check in (
        lambda: check_hmac(value, b"body", other),
        lambda: check_hmac(value, b"body", other, encoding="base64", prefix=other),
        lambda: check_token(value, other),
        lambda: check_basic(value, "user", other),
        lambda: check_basic(f"Basic {value}", "user", other),
        lambda: check_timestamp(value, 0.0),
    ):
        with suppress(Unauthorized):
            check()
