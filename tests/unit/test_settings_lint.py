from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.load import load
from gateway.settings.problems import SettingsError
from tests.unit.settings_kinds import KINDS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def findings(text: str) -> list[str]:
    """Problems, else warnings."""
    file = Path("gw.toml")
    file.write_text(text, encoding="utf-8")
    try:
        found = load(file, KINDS).warnings
    except SettingsError as exc:
        found = exc.problems
    return [str(problem).removeprefix("gw.toml: ") for problem in found]


def post(name: str, options: str = "") -> str:
    return f'[channels.{name}]\nkind = "post"\n{options}\n'


def test_sound_settings_have_no_findings() -> None:
    assert findings(post("a")) == []


def test_no_channel_is_a_warning() -> None:
    assert findings(post("a", "enabled = false")) == ["channels: no channel is enabled; nothing can come in"]


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "0.0.0.0:8080", ":8080", "[::]:8080"])
def test_two_listeners_on_one_port_are_a_problem(address: str) -> None:
    assert findings(f'[admin]\nlisten = "{address}"\n' + post("a")) == [
        f"admin.listen: {address} is taken by http.listen (127.0.0.1:8080)"
    ]


def test_a_channel_cannot_take_the_port_of_the_web() -> None:
    assert findings(post("a", 'smtp = { listen = "127.0.0.1:8081" }')) == [
        "channels.a.smtp.listen: 127.0.0.1:8081 is taken by admin.listen (127.0.0.1:8081)"
    ]


def test_channels_of_one_kind_may_share_a_listener() -> None:
    assert findings(post("a") + post("b")) == []


def test_channels_that_share_a_listener_agree_on_it() -> None:
    assert findings(post("a") + post("b", "smtp = { max_size = 11 }")) == [
        "channels.b.smtp: shares 127.0.0.1:2525 with channels.a.smtp and must agree with it on everything else"
    ]


def test_a_shared_listener_is_spelled_the_same() -> None:
    assert findings(post("a") + post("b", 'smtp = { listen = "0.0.0.0:2525" }')) == [
        "channels.b.smtp.listen: 0.0.0.0:2525 is taken by channels.a.smtp.listen (127.0.0.1:2525)"
    ]


def test_listeners_that_do_not_meet_are_fine() -> None:
    text = '[http]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'

    assert findings(text + post("a", 'smtp = { listen = "127.0.0.2:2525" }') + post("b")) == []
    assert findings(post("a", 'enabled = false\nsmtp = { listen = "0.0.0.0:2525" }') + post("b")) == []


def test_a_second_port_of_a_listener_is_looked_at_too() -> None:
    taken = 'smtp = { listen_tls = "127.0.0.1:8080" }'
    twice = 'smtp = { listen_tls = "127.0.0.1:2525" }'

    assert findings(post("a", taken)) == [
        "channels.a.smtp.listen_tls: 127.0.0.1:8080 is taken by http.listen (127.0.0.1:8080)"
    ]
    assert findings(post("a", twice)) == [
        "channels.a.smtp.listen_tls: 127.0.0.1:2525 is taken by channels.a.smtp.listen (127.0.0.1:2525)"
    ]
    assert findings(post("a", 'smtp = { listen_tls = "127.0.0.1:465" }')) == []


def test_a_socket_file_is_an_address() -> None:
    assert findings(post("a", 'smtp = { listen = "unix:/run/a.sock" }') + post("b")) == []
    (found,) = findings(
        post("a", 'smtp = { listen = "unix:/run/a.sock" }')
        + post("b", 'smtp = { listen = "unix:/run/a.sock", max_size = 11 }')
    )
    assert "must agree with it on everything else" in found


def test_a_port_beyond_the_last_is_a_problem() -> None:
    assert findings('[http]\nlisten = "127.0.0.1:70000"\n' + post("a")) == [
        "http.listen: expected host:port with a port of at most 65535, got '127.0.0.1:70000'"
    ]
    (found,) = findings(post("a", 'smtp = { listen = "nonsense" }'))
    assert found.startswith("channels.a.smtp.listen: expected host:port")


def test_the_lease_outlives_the_ack_deadline() -> None:
    (found,) = findings("[dedup]\nlease_secs = 8\n" + post("a"))

    assert found.startswith("channels.a.ack_deadline_secs: 8 s is not below dedup.lease_secs (8 s)")


def test_deadlines_shrink_inwards() -> None:
    found = findings("[broker]\npublish_timeout_secs = 9\n[dedup]\ntimeout_secs = 9\n" + post("a"))

    assert [line.partition(" (")[0] for line in found] == [
        "dedup.timeout_secs: 9 s is not below broker.publish_timeout_secs",
        "channels.a.ack_deadline_secs: 8 s is not above broker.publish_timeout_secs",
    ]


def test_a_broken_section_causes_no_second_problem() -> None:
    assert findings("[http]\nlisten = 5\n[admin]\nlisten = '127.0.0.1:8080'\n" + post("a")) == [
        "http.listen: expected host:port; port 0 takes a free one, got 5"
    ]


def test_queues_are_checked() -> None:
    text = """
[broker]
queues = [
  { name = "a", bind = ["#"] }, { name = "a", bind = [] }, { name = "gw.mine", bind = ["#"], type = "lazy" },
]
"""
    assert findings(text + post("a")) == [
        "broker.queues[1].name: the queue a is declared twice",
        "broker.queues[2].name: 'gw.mine': empty, gw.… and amq.… names are not yours to give",
        "broker.queues[2].type: expected one of quorum, classic, stream",
    ]


def test_a_queue_without_binding_is_a_warning() -> None:
    (found,) = findings("[broker]\nqueues = [{ name = 'a', bind = [] }]\n" + post("a"))

    assert found.startswith("broker.queues[0].bind: without a binding the queue stays empty")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[dedup]\nurl = 'amqp://x'\n", "dedup.url: is none of embedded:, redis://, rediss://"),
        ("[http]\npublic_url = 'gw.example'\n", "http.public_url: is not an http:// or https:// URL"),
        ("[dedup]\nurl = 'redis:///0'\n", "dedup.url: has no host or no port: redis://host:port/…"),
        (
            "[http]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']\n",
            (
                "http.trusted_proxies[1]: is not an address or network: "
                "'proxy' does not appear to be an IPv4 or IPv6 network"
            ),
        ),
    ],
)
def test_addresses_are_checked(text: str, expected: str) -> None:
    assert findings(text + post("a")) == [expected]


@pytest.mark.parametrize("url", ["amqp://mq.example:x/", "amqp://[mq.example/"])
def test_a_broken_url_is_a_problem(url: str) -> None:
    (found,) = findings(f"[broker]\nurl = '{url}'\n" + post("a"))

    assert found.startswith("broker.url: is not a URL")


def test_a_blob_key_is_32_bytes_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[gateway]\nblob_key = "env:BLOB_KEY"\n' + post("a")
    monkeypatch.setenv("BLOB_KEY", f"{'ab' * 32}\n{'cd' * 32}")
    assert findings(text) == []

    monkeypatch.setenv("BLOB_KEY", f"{'ab' * 32} too-short")
    (found,) = findings(text)
    assert found.startswith("gateway.blob_key: key 2 is not 32 bytes in base64 or hex")
    assert "too-short" not in found
