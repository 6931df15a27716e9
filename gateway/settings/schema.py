"""JSON Schema of `omnigate.toml`: editors complete and explain keys with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.registry import Spec
from connectors.secrets import Secret
from gateway.settings.describe import SCALARS
from gateway.settings.load import CHANNEL_ID, SECTIONS
from normalizer.schema import DEFS, DIALECT, Json, components

INCLUDE = "further files, or patterns of them, relative to this file; only the main file can include"


def config_schema(kinds: Mapping[str, Spec]) -> Json:
    """Return the schema of a configuration file with these kinds of channel."""
    shapes = [*SECTIONS.values(), *(spec.config for spec in kinds.values())]
    refs, defs = components(shapes, DEFS, _hook)
    channels = {f"channel.{kind}": _channel(spec, defs[_name(refs[spec.config])]) for kind, spec in kinds.items()}
    return {
        "$schema": DIALECT,
        "title": "Omnigate configuration",
        "type": "object",
        "properties": {
            "include": {"type": "array", "items": {"type": "string"}, "default": [], "description": INCLUDE},
            **{name: _with_reference(refs[shape], defs) for name, shape in SECTIONS.items()},
            "channels": {
                "type": "object",
                "description": "One table per channel: `[channels.<id>]`.",
                "propertyNames": {"pattern": f"^{CHANNEL_ID.pattern}$"},
                "additionalProperties": {"oneOf": [{"$ref": DEFS.format(name=name)} for name in channels]},
            },
        },
        "additionalProperties": False,
        "$defs": {**channels, **defs},
    }


def _channel(spec: Spec, options: Json) -> Json:
    return {
        **options,
        "title": spec.kind,
        "description": spec.summary,
        "properties": {"kind": {"const": spec.kind, "description": spec.summary}, **options["properties"]},
        "required": ["kind", *options.get("required", [])],
    }


def _with_reference(ref: Json, defs: dict[str, Json]) -> Json:
    """Say of a section with a URL that the URL may stand elsewhere."""
    url = defs[_name(ref)]["properties"].get("url")
    if url:
        url["examples"] = ["embedded:", "env:NAME", "file:/path"]
    return ref


def _name(ref: Json) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _hook(shape: Any) -> Json:
    if shape is Secret:
        return {"type": "string", "pattern": "^(env|file):.+", "description": SCALARS[Secret]}
    raise NotImplementedError  # msgspec's way to say: not mine
