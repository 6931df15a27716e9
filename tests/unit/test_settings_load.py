from __future__ import annotations

from pathlib import Path

import pytest

from connectors.secrets import Secret
from gateway.settings.load import load
from gateway.settings.model import Settings
from gateway.settings.problems import Problem, SettingsError
from gateway.settings.sources import find
from tests.unit.settings_kinds import KINDS, Hmac, Rule


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_TOKEN", "t0ken")


def write(name: str, text: str) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def settings(text: str) -> Settings:
    return load(write("gw.toml", text), KINDS).settings


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(write("gw.toml", text), KINDS)
    return [str(problem) for problem in caught.value.problems]


def shop(options: str) -> str:
    return f'[channels.shop]\nkind = "shop"\ntoken = "env:SHOP_TOKEN"\n{options}'


def shop_problem(options: str) -> str:
    (problem,) = problems(shop(options))
    return problem.removeprefix("gw.toml: channels.shop.")


def test_an_empty_file_gives_the_defaults() -> None:
    made = settings("")

    assert (made.http.listen, made.broker.url, made.channels) == ("127.0.0.1:8080", "embedded:", {})


def test_a_channel_has_the_options_of_its_kind() -> None:
    made = settings(
        shop("""
labels = { team = "eu" }
verify = { scheme = "hmac", header = "X-Sign", secret = "env:SHOP_TOKEN" }
rules = [{ priority = 1 }, { name = "late", priority = 2 }]
named = { a = { priority = 3 } }
fallback = { priority = 4 }
threshold = 1
""")
    )

    options = made.channels["shop"].options
    assert options.token == Secret("t0ken")
    assert options.verify == Hmac(header="X-Sign", secret=Secret("t0ken"))
    assert options.rules == (Rule(priority=1), Rule(name="late", priority=2))
    assert (options.named, options.fallback) == ({"a": Rule(priority=3)}, Rule(priority=4))
    assert (options.labels, options.threshold) == ({"team": "eu"}, 1.0)


def test_every_problem_is_reported_with_file_and_path() -> None:
    write("channels/shop.toml", '[channels.shop]\nkind = "shop"\ntoken = "env:NOT_SET"\nmoed = "poll"\n')
    write("channels/torn.toml", "[channels.torn\n")
    found = problems(
        'include = ["channels/*.toml"]\n[http]\nlisten = 8080\nmax_in_flight = 0\n[htpp]\n[broker]\nurl = "x:"'
    )

    assert found == [
        "channels/torn.toml: line 1, column 15: is not TOML: expected ']' at the end of a table declaration",
        "gw.toml: http.listen: expected host:port; port 0 takes a free one, got 8080",
        "gw.toml: http.max_in_flight: expected a whole number > 0, got 0",
        "gw.toml: htpp: unknown section (did you mean http?)",
        "channels/shop.toml: channels.shop.moed: unknown key (did you mean mode or named?)",
        "channels/shop.toml: channels.shop.token: environment variable NOT_SET is not set",
        "gw.toml: broker.url: is none of embedded:, amqp://, amqps://",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('mode = "pol"', "mode: expected one of push, poll, got 'pol' (did you mean poll?)"),
        ('mode = "sideways"', "mode: expected one of push, poll, got a string"),
        ("mode = 1", "mode: expected one of push, poll, got 1"),
        ('threshold = "0.5"', "threshold: expected a number >= 0, <= 1, got a string"),
        ("threshold = 1.5", "threshold: expected a number >= 0, <= 1, got 1.5"),
        ("threshold = nan", "threshold: expected a number >= 0, <= 1, got nan"),
        ("ack_deadline_secs = inf", "ack_deadline_secs: expected a number > 0, got inf"),
        ("max_bytes = 1.5", "max_bytes: expected a whole number > 0, got 1.5"),
        ("enabled = 1", "enabled: expected true or false, got 1"),
        ("labels = { team = 4 }", "labels.team: expected a string, got 4"),
        ("labels = { 'a b' = 4 }", 'labels."a b": expected a string, got 4'),
        ("labels = []", "labels: expected a table, each value a string, got a list of 0"),
        ("sizes = { a = 'x' }", "sizes.a: expected a whole number, got a string"),
        ("rules = 5", "rules: expected a list, each a table, got 5"),
        ("rules = [{ priority = 'x' }]", "rules[0].priority: expected a whole number, got a string"),
        ("rules = [{ name = 'x' }]", "rules[0].priority: is missing (give a whole number)"),
        ("rules = [{ priority = 1 }, 7]", "rules[1]: expected a table, got 7"),
        ("rules = [{ priority = 13 }]", "rules[0]: 13 is not a priority"),
        ("named = { a = { priority = 13 } }", "named.a: 13 is not a priority"),
        ("fallback = { priority = 1, prio = 2 }", "fallback.prio: unknown key (did you mean priority?)"),
        ("fallback = 3", "fallback: expected a table, got 3"),
        ("words = ['a', 'b', 'c']", "words: expected a list of at most 2, each a string, got a list of 3"),
        ("verify = 'hmac'", "verify: expected none or a table with scheme = hmac or token, got a string"),
        ("verify = 1", "verify: expected none or a table with scheme = hmac or token, got 1"),
        ("verify = {}", "verify.scheme: is missing (give one of hmac, token)"),
        (
            "verify = { scheme = 'hmca' }",
            "verify.scheme: 'hmca' is not known (did you mean hmac?)",
        ),
        (
            "verify = { scheme = 'token', secret = 'clear' }",
            "verify.secret: a secret is written as env:NAME or file:/path, never in clear",
        ),
    ],
)
def test_a_wrong_value_is_reported_with_what_was_expected(options: str, expected: str) -> None:
    assert shop_problem(options) == expected


def test_a_secret_in_clear_is_refused_and_never_shown() -> None:
    found = problems('[channels.shop]\nkind = "shop"\ntoken = "hunter2"')

    assert found == [
        "gw.toml: channels.shop.token: a secret is written as env:NAME or file:/path, never in clear",
    ]
    assert problems('[channels.shop]\nkind = "shop"\ntoken = 4711') == [
        "gw.toml: channels.shop.token: a secret is written as env:NAME or file:/path"
    ]


def test_a_missing_secret_says_how_to_write_it() -> None:
    assert problems('[channels.shop]\nkind = "shop"') == [
        "gw.toml: channels.shop.token: is missing (give a secret (env:NAME or file:/path))"
    ]


def test_a_secret_file_stands_relative_to_the_file_that_names_it() -> None:
    write("conf/channels/keys/token", "from-file\n")
    write("conf/channels/shop.toml", '[channels.shop]\nkind = "shop"\ntoken = "file:keys/token"')

    made = load(write("conf/gw.toml", 'include = ["channels/*.toml"]'), KINDS).settings

    assert made.channels["shop"].options.token == Secret("from-file")
    assert made.files == ("conf/gw.toml", "conf/channels/shop.toml", "conf/channels/keys/token")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot read the secret file {here}/keys/token: No such file or directory"),
        (b"\xff\xfe", "cannot read the secret file {here}/keys/token: not UTF-8"),
        (b"\n", "the secret file keys/token is empty"),
    ],
)
def test_an_unusable_secret_file_is_reported(content: bytes | None, expected: str, tmp_path: Path) -> None:
    if content is not None:
        write("keys/token", "").write_bytes(content)

    (found,) = problems('[channels.shop]\nkind = "shop"\ntoken = "file:keys/token"')

    assert found.replace(str(tmp_path), "{here}").removeprefix("gw.toml: channels.shop.token: ").replace(
        "{here}/keys", "{here}/keys"
    ) in {expected, expected.replace("{here}/", "")}


def test_a_missing_demo_secret_names_the_command_that_makes_it() -> None:
    assert problems('[channels.shop]\nkind = "shop"\ntoken = "file:keys/demo-token"') == [
        "gw.toml: channels.shop.token: the demo secret keys/demo-token does not exist yet; `omnigate init` makes one up"
    ]


@pytest.mark.parametrize("section", ["broker", "dedup"])
def test_a_url_may_be_a_reference(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"broker": "amqp://u:hunter2@mq.example/v", "dedup": "redis://:hunter2@redis.example/0"}[section]
    monkeypatch.setenv("SOME_URL", url)

    loaded = load(write("gw.toml", f'[{section}]\nurl = "env:SOME_URL"'), KINDS)

    assert getattr(loaded.settings, section).url == url
    assert [str(warning) for warning in loaded.warnings if "clear" in warning.message] == []


def test_an_unresolved_url_does_not_hide_other_problems() -> None:
    assert problems('[broker]\nurl = "env:NOT_SET"\nqueue = []') == [
        "gw.toml: broker.url: environment variable NOT_SET is not set",
        "gw.toml: broker.queue: unknown key (did you mean queues?)",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "amqp://user:hunter2@mq.example:portx/",
        "http://user:hunter2@mq.example/",
        "embedded:hunter2",
        "amqp://hunter2:hunter2",
    ],
)
def test_a_password_in_a_url_is_never_shown(url: str) -> None:
    found = problems(f'[broker]\nurl = "{url}"')

    assert len(found) == 1
    assert "hunter2" not in found[0]


def test_a_password_in_a_url_in_clear_is_warned_about() -> None:
    loaded = load(write("gw.toml", '[broker]\nurl = "amqp://user:hunter2@mq.example/"\n' + shop("")), KINDS)

    (warning,) = loaded.warnings
    assert str(warning).startswith("gw.toml: broker.url: holds a password in clear")
    assert "hunter2" not in str(warning)


def test_the_same_channel_in_two_files_names_both() -> None:
    write("a.toml", shop(""))
    write("b.toml", shop("") + "[http]\n")

    assert problems('include = ["a.toml", "b.toml"]\n[http]') == [
        "b.toml: http: is also in gw.toml (keep one of the two)",
        "b.toml: channels.shop: is also in a.toml (keep one of the two)",
    ]


def test_a_file_included_twice_is_read_once() -> None:
    write("channels/a.toml", shop(""))

    made = settings('include = ["channels/a.toml", "channels/*.toml", "./channels/a.toml", "gw.toml"]')

    assert list(made.channels) == ["shop"]


def test_includes_are_read_in_the_order_of_their_names() -> None:
    for name in ("b", "a", "c"):
        write(f"channels/{name}.toml", f'[channels.{name}]\nkind = "post"\nsmtp = {{ listen = "127.0.0.1:0" }}')

    assert list(settings('include = ["channels/*.toml"]').channels) == ["a", "b", "c"]


def test_examples_are_not_included() -> None:
    write("channels/a.toml.example", "not even TOML")

    assert settings('include = ["channels/*.toml"]').channels == {}


def test_a_pattern_without_a_match_is_only_a_warning() -> None:
    loaded = load(write("gw.toml", 'include = ["channels/*.toml"]\n' + shop("")), KINDS)

    assert loaded.warnings == (Problem(file="gw.toml", path="include[0]", message="channels/*.toml matches no file"),)


def test_a_named_file_that_does_not_exist_is_a_problem() -> None:
    assert problems('include = ["shop.toml"]') == ["shop.toml: there is no such file"]


def test_an_included_file_cannot_include() -> None:
    write("a.toml", 'include = ["b.toml"]')

    assert problems('include = ["a.toml"]') == [
        "a.toml: include: an included file cannot include others (list them all in the main file)"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = [1,", "gw.toml: end of document: is not TOML: invalid value"),
        ("[http]\n[http]\n", "gw.toml: line 2, column 6: is not TOML: cannot declare ('http',) twice"),
        ("include = 5", 'gw.toml: include: expected a list of file names or patterns (such as ["channels/*.toml"])'),
        ("channels = 5", "gw.toml: channels: expected a table per channel (such as [channels.shop])"),
        ("channels.a = 5", "gw.toml: channels.a: expected a table per channel (such as [channels.shop])"),
        ("http = 5", "gw.toml: http: expected a table, got 5"),
        ("[channels.a]", "gw.toml: channels.a.kind: is missing (known are post, shop)"),
        (
            "[channels.a]\nkind = 'shap'",
            "gw.toml: channels.a.kind: 'shap' is not a kind of channel (did you mean shop?)",
        ),
        ("[channels.a]\nkind = 3", "gw.toml: channels.a.kind: 3 is not a kind of channel (known are post, shop)"),
    ],
)
def test_what_is_not_even_a_table_is_reported(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize("name", ["Shop", "-shop", "'a b'", "'a.b'", "''", "'" + "a" * 64 + "'", "'ä'"])
def test_a_channel_id_is_one_plain_word(name: str) -> None:
    (found,) = problems(f'[channels.{name}]\nkind = "post"\n')

    assert "the id of a channel is 1 to 63 of a-z" in found


def test_bytes_that_are_no_text_are_reported() -> None:
    Path("gw.toml").write_bytes(b"[http]\n\xff")
    with pytest.raises(SettingsError, match=r"gw.toml: is not UTF-8 text \(byte 7\)"):
        load(Path("gw.toml"), KINDS)


def test_deep_nesting_is_reported() -> None:
    assert problems("a = " + "[" * 5000) == ["gw.toml: is nested too deeply"]


def test_a_huge_number_is_reported() -> None:
    (found,) = problems("[http]\nmax_in_flight = " + "9" * 5000)

    assert found.startswith("gw.toml: is not TOML: exceeds the limit")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path, KINDS)


def test_a_missing_main_file_says_how_to_name_another() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Path("nowhere.toml"), KINDS)

    assert str(caught.value) == (
        "nowhere.toml: there is no such file (write it, or name another with --config or $OMNIGATE_CONFIG)"
    )


def test_the_configuration_is_the_option_then_the_variable_then_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNIGATE_CONFIG", raising=False)
    assert find(None) == Path("config/omnigate.toml")

    monkeypatch.setenv("OMNIGATE_CONFIG", "/etc/omnigate.toml")
    assert find(None) == Path("/etc/omnigate.toml")
    assert find(Path("x.toml")) == Path("x.toml")


@pytest.mark.parametrize("name", ["file:a\\u0000b", "env:a\\u0000b", "file:", "env:", "file:loop"])
def test_a_strange_reference_is_reported(name: str) -> None:
    Path("loop").symlink_to("loop")

    (found,) = problems(f'include = ["loop"]\n[channels.shop]\nkind = "shop"\ntoken = "{name}"')[1:]

    assert found.startswith("gw.toml: channels.shop.token: ")


def test_a_strange_include_is_reported() -> None:
    (found,) = problems('include = ["a\\u0000b"]')

    assert found.startswith("gw.toml: include: expected a list of file names")
