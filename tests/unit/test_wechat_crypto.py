"""WeChat's cryptography, checked with wechatpy: it encrypts and we decrypt, and the other way round."""

from __future__ import annotations

import base64

import pytest
import xmltodict
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException
from wechatpy.utils import check_signature as wechatpy_check

from connectors.errors import Unauthorized
from connectors.wechat_crypto import Crypto, ForeignReceiver, check_signature, signature
from normalizer.codecs import wechat_xml
from normalizer.errors import MalformedPayload
from tests.wechat_bench import AES_KEY, APP_ID, TOKEN

TIMESTAMP, NONCE = "1409659589", "263014780"
ours, theirs = Crypto(AES_KEY, APP_ID), WeChatCrypto(TOKEN, AES_KEY, APP_ID)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)


@given(TEXTS)
@settings(max_examples=50)
def test_what_wechatpy_encrypts_we_decrypt(text: str) -> None:
    sent = xmltodict.parse(theirs.encrypt_message(text, NONCE, TIMESTAMP))["xml"]

    check_signature(sent["MsgSignature"], TOKEN, TIMESTAMP, NONCE, sent["Encrypt"])
    assert ours.decrypt(sent["Encrypt"]) == text.encode()


@given(TEXTS)
@settings(max_examples=50)
def test_what_we_encrypt_wechatpy_decrypts(text: str) -> None:
    fields = ours.envelope(text.encode(), TOKEN, int(TIMESTAMP), NONCE)

    assert theirs.decrypt_message(wechat_xml.write(fields), fields["MsgSignature"], TIMESTAMP, NONCE) == text


def test_the_plain_signature_is_that_of_wechatpy() -> None:
    wechatpy_check(TOKEN, signature(TOKEN, TIMESTAMP, NONCE), TIMESTAMP, NONCE)

    with pytest.raises(Unauthorized) as caught:
        check_signature(signature("another", TIMESTAMP, NONCE), TOKEN, TIMESTAMP, NONCE)
    assert caught.value.status == 403


@pytest.mark.parametrize("given", [None, "", "ü", "0" * 40, "\ud800"])
def test_what_is_no_signature_is_refused(given: str | None) -> None:
    with pytest.raises(Unauthorized):
        check_signature(given, TOKEN, TIMESTAMP, NONCE)


def test_a_message_for_another_app_is_refused_by_both() -> None:
    foreign = Crypto(AES_KEY, "wxanotherapp").envelope(b"<xml/>", TOKEN, int(TIMESTAMP), NONCE)

    with pytest.raises(ForeignReceiver):
        ours.decrypt(foreign["Encrypt"])
    with pytest.raises(InvalidAppIdException):
        theirs.decrypt_message(wechat_xml.write(foreign), foreign["MsgSignature"], TIMESTAMP, NONCE)


@given(st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode()) | TEXTS)
@settings(max_examples=100)
def test_what_was_not_encrypted_for_us_is_named_as_such(encrypted: str) -> None:
    with pytest.raises((MalformedPayload, ForeignReceiver)):
        ours.decrypt(encrypted)


def test_another_key_does_not_decrypt_it() -> None:
    other = Crypto(AES_KEY[::-1].replace("G", "E", 1), APP_ID)

    for _ in range(20):  # the padding fits by chance now and then, the rest does not
        with pytest.raises((MalformedPayload, ForeignReceiver)):
            other.decrypt(ours.encrypt(b"<xml><Content>secret</Content></xml>"))


@pytest.mark.parametrize("key", ["", "short", AES_KEY + "=", AES_KEY[:-1] + "-"])
def test_a_key_of_another_form_is_refused_with_a_hint(key: str) -> None:
    with pytest.raises(ValueError, match="43 characters"):
        Crypto(key, APP_ID)


def test_two_encryptions_of_the_same_differ() -> None:
    assert ours.encrypt(b"x") != ours.encrypt(b"x")
