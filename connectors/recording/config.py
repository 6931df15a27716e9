"""Options of recordings, for the configuration of a kind that has them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class RecordingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls are recorded.

    Attributes:
        days: how long a recording is kept, whatever `[gateway] blob_days` says; 0 leaves it to that.
        format: what the file becomes once the call is over; ``mp3`` and ``opus`` need the extra ``asr``.
        max_secs: where a recording ends, though the call goes on; it is then not `complete`.
    """

    days: Annotated[int, Meta(ge=0)] = 0
    format: Literal["wav", "mp3", "opus"] = "wav"
    max_secs: Annotated[float, Meta(gt=0, le=86_400)] = 21_600.0
