"""The base of request params."""

from __future__ import annotations

from msgspec import Struct


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of request params: a misspelt option is an error, not a silent default."""
