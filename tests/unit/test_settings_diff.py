from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.bootstrap import ensure_demo_secrets
from gateway.settings.diff import Changes, changes
from gateway.settings.load import load
from gateway.settings.model import Settings
from tests.unit.settings_kinds import KINDS

BASE = """
[channels.a]
kind = "shop"
token = "file:token"
[channels.b]
kind = "post"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("one", encoding="utf-8")


def settings(text: str) -> Settings:
    file = Path("gw.toml")
    file.write_text(text, encoding="utf-8")
    return load(file, KINDS).settings


def test_the_same_file_read_twice_has_no_changes() -> None:
    found = changes(settings(BASE), settings(BASE))

    assert found == Changes()
    assert not found


def test_channels_come_go_and_change_without_touching_others() -> None:
    more = BASE + '[channels.c]\nkind = "post"\n'
    less = BASE.replace("[channels.b]", "max_sends = 2\n[channels.d]")

    assert changes(settings(BASE), settings(more)) == Changes(added=("c",))
    assert changes(settings(BASE), settings(less)) == Changes(added=("d",), removed=("b",), changed=("a",))


def test_a_channel_of_another_kind_has_changed() -> None:
    other = BASE.replace('"post"', '"shop"\ntoken = "file:token"')

    assert changes(settings(BASE), settings(other)) == Changes(changed=("b",))


def test_a_new_secret_is_a_change() -> None:
    before = settings(BASE)
    Path("token").write_text("two", encoding="utf-8")

    assert changes(before, settings(BASE)) == Changes(changed=("a",))


def test_a_changed_section_needs_a_restart() -> None:
    new = settings("[http]\nmax_in_flight = 1\n[log]\nlevel = 'debug'\n" + BASE)

    assert changes(settings(BASE), new) == Changes(restart_needed=("http", "log"))


def test_demo_secrets_are_made_once_and_only_they() -> None:
    text = '[channels.a]\nkind = "shop"\ntoken = "file:var/secrets/demo-token"\nverify = { secret = "file:real" }\n'
    Path("gw.toml").write_text(text, encoding="utf-8")

    (made,) = ensure_demo_secrets(Path("gw.toml"))

    assert made == Path.cwd() / "var/secrets/demo-token"
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(made.read_text(encoding="ascii").strip()) == 48
    assert list(ensure_demo_secrets(Path("gw.toml"))) == []
    assert not Path("real").exists()
