"""Small parts of the web chat: options, origins, limits, entries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.chat import ChatConfig
from connectors.chat import entries as e
from connectors.chat.files import clean_name
from connectors.chat.keys import FILE, load_keys
from connectors.chat.limits import Places, Rates, client_of
from connectors.chat.origins import Origins
from connectors.errors import Misconfigured
from connectors.secrets import Secret
from dedup.feeds import Entry
from gateway.settings.load import load
from gateway.settings.problems import SettingsError
from normalizer import parts as p
from normalizer.codecs.chat_types import Author, Shown

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def link(ref: str, *, mime: str | None, name: str | None) -> tuple[str, datetime]:
    return f"https://gw.example/{ref[7:13]}/{mime}/{name}", NOW


def message(*parts: Any, **more: Any) -> Shown:
    return Shown(id="c1", revision=0, sender=Author(role="visitor"), at=NOW, text="Hi", parts=parts, **more)


def shown(body: bytes, seq: int = 7) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(e.Renderer(link).notification(Entry(seq, "u", body)))
    return told


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True), ("https://shop.example", True), ("https://SHOP.example:443", True),
        ("https://shop.example.", True),
        ("https://a.b.help.example", True), ("http://gw.example:1", True), ("https://gw.example", True),
        ("https://help.example", False), ("https://xhelp.example", False), ("http://shop.example", False),
        ("https://shop.example/", False), ("https://shop.example?x", False), ("https://u@shop.example", False),
        ("ftp://gw.example", False), ("null", False), ("", False), ("shop.example", False), ("https://[", False),
        ("https://shop.example:99999", False), ("https://*.help.example", True), ("*", False),
    ],
)  # fmt: skip
def test_a_page_may_open_a_chat_if_it_is_named_or_of_the_same_host(
    origin: str | None,
    *,
    allowed: bool,
) -> None:
    origins = Origins(["https://shop.example", "https://*.help.example"])
    assert origins.allow(origin, "gw.example:8080") is allowed


def test_any_and_null_are_said_expressly() -> None:
    assert Origins(["*"]).allow("https://evil.example", None)
    assert Origins(["null"]).allow("null", None)
    assert not Origins([]).allow("https://shop.example", None)
    assert not Origins([]).allow("https://shop.example", "bad host[")


def test_a_bucket_lets_a_burst_pass_and_then_its_rate() -> None:
    now = [0.0]
    rates = Rates(60, burst=3, clock=lambda: now[0])
    assert [rates.take("a") for _ in range(3)] == [0, 0, 0]
    assert rates.take("a") == pytest.approx(1)
    assert rates.take("b") == 0
    now[0] = 0.5
    assert rates.take("a") == pytest.approx(0.5)
    now[0] = 1.0
    assert rates.take("a") == 0
    now[0] = 1000.0
    assert [rates.take("a") == 0 for _ in range(4)] == [True, True, True, False]
    assert Rates(0, burst=1, clock=lambda: 0.0).take("a") == 0


def test_who_was_silent_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.chat.limits.REMEMBERED", 2)
    rates = Rates(1, burst=1, clock=lambda: 0.0)
    for name in ("a", "b", "a", "c"):
        rates.take(name)
    assert rates.take("a") > 0
    assert rates.take("b") == 0


def test_places_are_given_back() -> None:
    places = Places(3, 2)
    assert [places.take("a"), places.take("a"), places.take("a")] == [0, 0, 429]
    assert [places.take("b"), places.take("c")] == [0, 503]
    places.leave("a")
    assert places.take("c") == 0
    for name in ("a", "b", "c"):
        places.leave(name)
    assert places.total == 0


def test_clients_are_told_apart_by_what_one_of_them_has() -> None:
    assert client_of("192.0.2.1") == "192.0.2.1"
    assert client_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert client_of("fe80::1%eth0") == "fe80::/64"
    assert client_of(None) == ""


def test_a_message_has_its_own_number_as_place() -> None:
    told = shown(e.message_body(message()))
    assert told["method"] == "message"
    assert (told["params"]["seq"], told["params"]["pos"]) == (7, [7, 7])
    assert told["params"]["message"] == {
        "id": "c1", "revision": 0, "from": {"role": "visitor"}, "at": "2026-11-20T12:00:00Z", "text": "Hi",
    }  # fmt: skip


def test_a_visitors_message_stands_behind_what_he_had_seen() -> None:
    assert shown(e.message_body(message(), before=3))["params"]["pos"] == [3, 7]
    assert shown(e.message_body(message(), before=0))["params"]["pos"] == [0, 7]
    later = e.message_body(message(), before=3, place=5)
    assert shown(later, seq=9)["params"]["pos"] == [3, 5]


def test_files_get_a_fresh_link_and_lose_what_is_nobodys_business() -> None:
    stored = p.Media(
        id="m", status="stored", sha256="ab" * 32, mime="image/png", name="a.png", url="https://old", caption="c"
    )
    foreign = p.Media(id="f", status="pending", url="https://shop.example/x.jpg", provider_id="secret")
    card = p.Card(items=(p.CardItem(title="Tea", media=stored), p.CardItem(title="Coffee")))
    parts = shown(e.message_body(message(p.Image(media=stored), p.File(media=foreign), card)))["params"]["message"][
        "parts"
    ]
    assert parts[0]["media"] == {
        "id": "m", "mime": "image/png", "name": "a.png", "caption": "c", "url": "https://gw.example/ababab/image/png/a.png",
    }  # fmt: skip
    assert parts[1]["media"] == {"id": "f", "url": "https://shop.example/x.jpg"}
    assert set(parts[2]["items"][0]["media"]) == {"id", "mime", "name", "caption", "url"}


def test_other_entries_have_what_they_have() -> None:
    assert shown(e.body("ended", by="agent", reason=None))["params"] == {"seq": 7, "by": "agent"}
    assert shown(e.body("nothing"))["params"] == {"seq": 7}
    assert json.loads(e.fleeting("typing", active=True, name=None))["params"] == {"active": True}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a.png", "a.png"), ("/etc/passwd", "passwd"), ("C:\\x\\y.txt", "y.txt"), ("a\nb\u202ec", "abc"), ("", None),
     (None, None), ("../", None), ("\0", None), ("x" * 300 + ".png", "x" * 196 + ".png")],
)  # fmt: skip
def test_of_a_name_only_the_name_is_kept(given: str | None, kept: str | None) -> None:
    assert clean_name(given) == kept


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    (first,) = load_keys((), tmp_path)
    assert len(first) == 32
    assert load_keys((), tmp_path) == (first,)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    (tmp_path / FILE).write_text("ab" * 32 + "\n" + first.hex() + "\n")
    assert load_keys((), tmp_path) == (bytes.fromhex("ab" * 32), first)
    assert load_keys((Secret("x" * 32),), tmp_path) == (b"x" * 32,)


@pytest.mark.parametrize("text", ["", "zz", "abcd"])
def test_a_key_file_that_is_none_is_refused_without_its_content(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Misconfigured, match=r"session\.keys") as refused:
        load_keys((), tmp_path)
    assert not text or text not in str(refused.value).replace("readable", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"listen": "127.0.0.1:70000"}, "65535"),
        ({"origins": ("https://shop.example/",)}, "without a path"),
        ({"origins": ("shop.example",)}, "origins"),
        ({"origins": ("https://shop.*",)}, "origins"),
        ({"tls_key": "key.pem"}, "tls_cert"),
        ({"token_key": Secret("short")}, "32 characters"),
        ({"old_token_keys": (Secret("x" * 32),)}, "token_key"),
        ({"text_max": 100_000}, "message_max_bytes"),
        ({"trusted_proxies": ("proxy",)}, "proxy"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChatConfig(**{"listen": "127.0.0.1:0", **options})


def test_what_is_odd_is_said() -> None:
    odd = ChatConfig(listen="127.0.0.1:0", origins=("*",))
    assert [remark.path for remark in odd.remarks(shared=True)] == ["token_key", "origins"]
    assert [remark.path for remark in odd.remarks(shared=False)] == ["origins"]
    fine = ChatConfig(listen="127.0.0.1:0", token_key=Secret("x" * 32))
    assert list(fine.remarks(shared=True)) == []


def test_channels_share_a_port_if_they_agree_on_what_is_the_ports(tmp_path: Path) -> None:
    path = tmp_path / "omnigate.toml"
    chats = [f'[channels.{name}]\nkind = "chat"\nlisten = "127.0.0.1:8090"\n' for name in "ab"]
    text = chats[0] + 'origins = ["https://a.example"]\n' + chats[1] + 'origins = ["https://b.example"]\n'
    path.write_text(text + "poll_secs = 10.0\n")
    assert set(load(path).settings.channels) == {"a", "b"}
    path.write_text(text + "max_connections = 5\n")
    with pytest.raises(SettingsError, match=r"channels\.b: shares 127\.0\.0\.1:8090 with channels\.a"):
        load(path)
