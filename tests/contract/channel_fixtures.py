"""Fixtures of a channel kind, found in ``tests/payloads/<kind>/`` and built through the real loader.

`channel.toml` says how a test builds the channel::

    [options]                      # as under [channels.<id>]; every secret as env:NAME
    [secrets]                      # NAME = "value"; the test looks for these values everywhere
    [delivery]                     # optional: content_type, received_at, meta (a table of strings)
    [signed]                       # file and headers (query) of a delivery that must be accepted, signed by somebody
                                   # else's code; without it the kind's simulator signs (a signed time must be now);
                                   # payload: the file that is handed over, where the provider encrypts
    [simulator]                    # optional: what the simulator needs besides the options (`Simulator.extras`)
    [types]                        # the provider's word for a type = the stem of an .in fixture of it; every type its
                                   # pages document, or "see …: why there is none"
    [cloud]                        # optional: stem of a .send fixture = "why the simulated provider cannot take it"
    [without]                      # optional: sort = "why this kind has no fixture of it" (in, send, bad)

Files: ``<name>.in.<ext>`` decodes to ``<name>.out.json``, a list of ``{method, params}``, ``{ignored}`` and ``{bad}``;
``<name>.send.json`` (an `Outbound` without channel) encodes to ``<name>.request.json``, a list of ``{method, url,
headers, body}``; ``<name>.bad.<ext>`` is refused. The extension says the content type: `.form` and `.xml`; all others
are as in `[delivery]`. ``<name>.meta.json`` adds to `[delivery] meta`. `SOURCE` names where the payloads come from.
``OMNIGATE_WRITE_FIXTURES=1`` writes missing ``.out.json`` and ``.request.json`` files, to be read before they are
committed.
"""

from __future__ import annotations

import functools
import json
import os
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from connectors.api import ChannelConfig
from gateway.settings.load import load
from normalizer.model import ChannelRef
from normalizer.raw import BadItem, Decoded, Event, Ignored, Outbound, RawEvent, Wire

ROOT = Path(__file__).parent.parent / "payloads"
EXTENSIONS = {".form": "application/x-www-form-urlencoded", ".xml": "text/xml"}
RECEIVED_AT = "2026-11-20T12:00:00Z"


class Delivered(Struct, frozen=True, forbid_unknown_fields=True):
    """`[delivery]`."""

    content_type: str = "application/json"
    received_at: datetime = datetime.fromisoformat(RECEIVED_AT)
    meta: dict[str, str] = {}


class Signed(Struct, forbid_unknown_fields=True):
    """`[signed]`."""

    file: str
    headers: dict[str, str]
    query: dict[str, str] = {}
    payload: str | None = None


class Folder(Struct, forbid_unknown_fields=True):
    """`channel.toml`."""

    options: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    delivery: Delivered = Delivered()
    signed: Signed | None = None
    simulator: dict[str, str] = {}
    types: dict[str, str] = {}
    cloud: dict[str, str] = {}
    without: dict[str, str] = {}


@functools.cache
def folder(kind: str) -> Folder:
    return msgspec.convert(tomllib.loads((ROOT / kind / "channel.toml").read_text()), Folder)


def kinds() -> list[str]:
    """Every kind that has a folder."""
    return sorted(path.parent.name for path in ROOT.glob("*/channel.toml"))


def files(sort: str) -> Iterator[tuple[str, Path]]:
    """Find the fixtures of one sort, over all kinds."""
    for kind in kinds():
        yield from ((kind, path) for path in sorted((ROOT / kind).glob(f"*.{sort}.*")))


def reference(kind: str) -> ChannelRef:
    return ChannelRef(id=f"test-{kind}", type=kind)


def build_options(
    kind: str, tmp_path: Path, monkeypatch: Any, secrets: dict[str, str] | None = None, **changes: Any
) -> ChannelConfig:
    """Read the options as the gateway does: TOML, secrets from the environment, every check."""
    made = folder(kind)
    for name, value in (secrets or made.secrets).items():
        monkeypatch.setenv(name, value)
    table = {**made.options, "kind": kind, **changes}
    path = tmp_path / "omnigate.toml"
    path.write_text(f"[channels]\ntest-{kind} = {_toml(table)}\n")
    return load(path).settings.channels[f"test-{kind}"].options


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def content_type(kind: str, path: Path) -> str:
    """Say how a fixture is written."""
    return EXTENSIONS.get(path.suffix, folder(kind).delivery.content_type)


def raw_event(kind: str, path: Path) -> RawEvent:
    delivery = folder(kind).delivery
    beside = path.with_name(path.name.partition(".")[0] + ".meta.json")
    extra = json.loads(beside.read_bytes()) if beside.exists() else {}
    return RawEvent(
        channel=reference(kind),
        kind=kind,
        body=path.read_bytes(),
        received_at=delivery.received_at,
        content_type=content_type(kind, path),
        meta={**delivery.meta, **extra},
    )


def outbound(kind: str, path: Path) -> Outbound:
    return msgspec.convert({**json.loads(path.read_bytes()), "channel": {"id": f"test-{kind}", "type": kind}}, Outbound)


def as_data(decoded: Decoded) -> Any:
    match decoded:
        case Event(method=method, params=params):
            return json.loads(msgspec.json.encode({"method": method, "params": params}))
        case Ignored(reason=reason):
            return {"ignored": reason}
        case BadItem(reason=reason):
            return {"bad": reason}


def wire_as_data(wire: Wire) -> Any:
    data: dict[str, Any] = {"method": wire.method, "url": wire.url}
    if wire.headers:
        data["headers"] = dict(wire.headers)
    if wire.body:
        try:
            data["body"] = json.loads(wire.body)
        except ValueError:
            data["body"] = wire.body.decode("utf-8", "backslashreplace")
    return data


def expected(path: Path, actual: Any) -> Any:
    """Read a fixture of what should come out; a missing one fails, or is written on demand."""
    if not path.exists() and os.environ.get("OMNIGATE_WRITE_FIXTURES"):
        path.write_text(json.dumps(actual, indent=2, ensure_ascii=False) + "\n")
    assert path.exists(), f"{path.name} is missing"
    return json.loads(path.read_bytes())
