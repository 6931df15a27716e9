"""Options that configurations elsewhere rely on: secrets by each provider's own words, and its base URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.load import load

WORDS = {
    "telegram": ("token", "secret"),
    "whatsapp": ("app_secret", "verify_token", "access_token", "phone_number_id"),
    "messenger": ("app_secret", "verify_token", "access_token", "page_id"),
    "instagram": ("app_secret", "verify_token", "access_token", "page_id"),
    "wechat": ("app_id", "app_secret", "token", "encoding_aes_key"),
    "line": ("channel_secret", "channel_access_token"),
    "slack": ("signing_secret", "bot_token"),
    "twilio": ("account_sid", "auth_token"),
}
VALUES = {
    "encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "phone_number_id": "17",
    "page_id": "17",
    "app_id": "wx2c2769f8efd9abc2",
}
PLAIN = {"phone_number_id", "page_id", "app_id", "account_sid"}


@pytest.mark.parametrize("kind", WORDS)
def test_a_provider_s_own_words_are_enough(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f'[channels.one]\nkind = "{kind}"', 'api_base = "http://127.0.0.1:9"']
    for word in WORDS[kind]:
        monkeypatch.setenv(f"THE_{word.upper()}", VALUES.get(word, "a-secret-of-some-length"))
        value = VALUES[word] if word in PLAIN else f"env:THE_{word.upper()}"
        lines.append(f'{word} = "{value}"')
    path = tmp_path / "omnigate.toml"
    path.write_text("\n".join(lines) + "\n")

    options = load(path).settings.channels["one"].options

    assert {word for word in WORDS[kind] if getattr(options, word, None)} == set(WORDS[kind])
