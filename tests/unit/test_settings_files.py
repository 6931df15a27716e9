"""The configurations and generated files that we ship."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from connectors import registry
from gateway.settings.bootstrap import ensure_demo_secrets
from gateway.settings.load import load
from gateway.settings.problems import SettingsError
from gateway.settings.reference import generated
from gateway.settings.schema import config_schema

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(CONFIG.glob("channels/*.toml.example"))
FILES = ["omnigate.toml", *sorted(f"channels/{file.name}" for file in CONFIG.glob("channels/demo-*.toml"))]
LINES = [
    (name, number)
    for name in FILES
    for number, line in enumerate((CONFIG / name).read_text(encoding="utf-8").splitlines())
    if line.strip() and not line.startswith("#")
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what we ship, its demo secrets made up."""
    for name in FILES:
        (tmp_path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CONFIG / name, tmp_path / "config" / name)
    monkeypatch.chdir(tmp_path)
    list(ensure_demo_secrets(Path("config/omnigate.toml")))
    return tmp_path


def paths(name: str, text: str) -> list[tuple[str, str]]:
    """File and path of every problem after a file was replaced; empty when it is still sound."""
    (Path("config") / name).write_text(text, encoding="utf-8")
    try:
        load(Path("config/omnigate.toml"))
    except SettingsError as exc:
        return [(problem.file, problem.path) for problem in exc.problems]
    return []


def lines_of(name: str) -> list[str]:
    return (CONFIG / name).read_text(encoding="utf-8").splitlines()


def key_of(lines: list[str], number: int) -> str:
    """The full path of the key or table on a line."""
    header = next((line for line in reversed(lines[: number + 1]) if line.startswith("[")), "").strip("[]")
    if lines[number].startswith("["):
        return header
    key = lines[number].partition("=")[0].strip()
    return f"{header}.{key}" if header else key


@pytest.mark.usefixtures("folder")
def test_the_default_configuration_is_sound_on_a_fresh_clone() -> None:
    loaded = load(Path("config/omnigate.toml"))

    assert loaded.warnings == ()
    kinds = {channel.kind for channel in loaded.settings.channels.values()}
    assert kinds == {"telegram", "email", "webhook", "chat", "sip"}
    assert loaded.settings.broker.url == loaded.settings.dedup.url == "embedded:"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "number"), LINES)
def test_a_misspelt_key_is_reported_where_it_stands(name: str, number: int) -> None:
    lines = lines_of(name)
    original = key_of(lines, number)
    lines[number] = re.sub(r"^(\[*(?:channels\.)?)([a-z])", r"\1x\2", lines[number])

    found = paths(name, "\n".join(lines))

    broken = key_of(lines, number)
    if name != "omnigate.toml" and lines[number].startswith("[") and broken.count(".") == 1:
        assert {file for file, _ in found} <= {f"config/{name}"}  # another id is another channel
    else:
        assert any(
            file == f"config/{name}" and (path in {broken, original} or original.startswith(f"{path}."))
            for file, path in found
        ), found


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "number"), [(n, i) for n, i in LINES if "=" in lines_of(n)[i]])
@pytest.mark.parametrize("value", ["[[[]]]", "1979-05-27", "-1.5"])
def test_a_value_of_a_wrong_type_is_reported_where_it_stands(name: str, number: int, value: str) -> None:
    lines = lines_of(name)
    key = key_of(lines, number)
    lines[number] = lines[number].partition("=")[0] + "= " + value

    found = paths(name, "\n".join(lines))

    assert any(file == f"config/{name}" and path.startswith(key) for file, path in found), found


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "number"), LINES)
def test_a_torn_line_is_reported_with_its_position(name: str, number: int) -> None:
    lines = lines_of(name)
    key, equals, _ = lines[number].partition("=")
    lines[number] = key + "= [" if equals else key[:-1]

    ((file, path), *more) = paths(name, "\n".join(lines))

    assert file == f"config/{name}"
    assert path.startswith(("line ", "end of document"))
    assert name == "omnigate.toml" or not more


@pytest.mark.usefixtures("folder")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(FILES))
def test_a_damaged_file_never_raises_anything_else(data: st.DataObject, name: str) -> None:
    text = (CONFIG / name).read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    noise = data.draw(st.binary(max_size=6) | st.sampled_from([b"[", b"]", b'"', b"=", b"\n", b"{}", b"1e999", b"nan"]))
    target = Path("config") / name
    target.write_bytes(text[:start] + noise + text[end:])

    try:
        load(Path("config/omnigate.toml"))
        said = ["nothing"]
    except SettingsError as exc:
        said = [str(problem) for problem in exc.problems if problem.file and problem.message]
    finally:
        shutil.copy(CONFIG / name, target)

    assert said
    assert not any("\n" in line for line in said)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    for variable in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(variable, "a-secret-of-the-tests-0123456789")
    if "/etc/omnigate/tls/" in text:
        text = text.replace("/etc/omnigate/tls/", f"{tmp_path}/")
        issued = trustme.CA().issue_cert("mx.shop.example")
        issued.private_key_pem.write_to_path(tmp_path / "privkey.pem")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "fullchain.pem")
    for prompt in re.findall(r'"/etc/omnigate/prompts/([^"]+)"', text):
        (tmp_path / prompt).write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    text = text.replace("/etc/omnigate/prompts/", f"{tmp_path}/")
    (tmp_path / "gw.toml").write_text(text, encoding="utf-8")

    warnings = load(tmp_path / "gw.toml").warnings

    assert [one for one in warnings if not one.path.endswith(".language")] == []  # the models stand in omnigate.toml


def test_there_is_an_example_for_each_way_mail_can_come() -> None:
    found = {file.name.partition(".")[0] for file in EXAMPLES if file.name.startswith("email-")}

    assert found == {"email-mx", "email-forwarding", "email-gmail", "email-microsoft365", "email-dovecot"}


def test_the_production_configuration_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIGATE_ADMIN_TOKEN", "a-secret")
    monkeypatch.setenv("OMNIGATE_BROKER_URL", "amqps://user:password@rabbitmq.example/vhost")
    monkeypatch.setenv("OMNIGATE_DEDUP_URL", "rediss://:password@redis.example:6379/0")

    warnings = load(CONFIG / "production.toml").warnings

    assert {warning.path for warning in warnings} == {"include[0]", "channels"}


def test_the_generated_files_are_current() -> None:
    stale = [name for name, text in generated().items() if (CONFIG / name).read_text(encoding="utf-8") != text]

    assert stale == [], "run `make docs` and commit the result"


def test_what_we_ship_fits_the_schema_for_editors() -> None:
    schema = config_schema(registry.load())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    for file in [*CONFIG.glob("*.toml"), *CONFIG.glob("channels/demo-*.toml"), *EXAMPLES]:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        assert [error.message for error in validator.iter_errors(document)] == [], file.name


@pytest.mark.parametrize(
    "text",
    [
        "[htpp]",
        "[http]\nlisten = 80",
        "[http]\nport = 80",
        "[channels.a]\nkind = 'telegrm'",
        "[channels.a]\nkind = 'telegram'\ntoken = 'clear'\nsecret = 'env:X'",
        "[channels.a]\nkind = 'telegram'\nsecret = 'env:X'",
        "[channels.A]\nkind = 'telegram'\ntoken = 'env:X'\nsecret = 'env:X'",
    ],
)
def test_the_schema_for_editors_refuses_what_load_refuses(text: str) -> None:
    assert not Draft202012Validator(config_schema(registry.load())).is_valid(tomllib.loads(text))


def test_every_option_is_explained() -> None:
    silent = [
        line for line in generated()["README.md"].splitlines() if line.startswith("| `") and line.endswith("|  |")
    ]

    assert silent == []
