"""Options of recordings, for the configuration of a kind that has them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Literal

from msgspec import Meta, Struct

from connectors.api import Remark


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

    def remarks(self, path: str = "recording") -> Iterator[Remark]:
        """Say what is odd about them, for `ChannelConfig.remarks`; `path` is theirs below the channel."""
        if self.format != "wav" and find_spec("av") is None:
            yield Remark(f"{path}.format", f"{self.format} needs PyAV: recordings stay WAV", "install omnigate[asr]")
