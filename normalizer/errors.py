"""Root of the error tree; every package adds its own branch.

::

    OmniError
    ├─ MalformedPayload              normalizer: not understood, never retried, quarantined
    ├─ Unsendable                    normalizer: a message this channel cannot express
    ├─ ConnectorError                connectors.errors
    ├─ DedupUnavailable              dedup.api
    ├─ PublishError, SpoolFull …     gateway
    └─ SettingsError                 gateway.settings
"""

from __future__ import annotations


class OmniError(Exception):
    """Base class of every error raised on purpose.

    Attributes:
        code: stable, low-cardinality name; a metric label and a log key.
        retryable: whether the same operation may succeed later without a change.
    """

    code: str = "internal"
    retryable: bool = False


class MalformedPayload(OmniError):
    """The provider sent something the codec cannot understand."""

    code = "malformed_payload"


class Unsendable(OmniError):
    """The channel has no way to express (a part of) this message.

    Attributes:
        need: the part type or feature that is missing.
        have: what the channel offers instead.
    """

    code = "capability_missing"

    def __init__(self, need: str, have: tuple[str, ...] = ()) -> None:
        """Name what is missing and what there is."""
        super().__init__(f"this channel cannot send {need!r}; it can send {', '.join(have) or 'nothing'}")
        self.need = need
        self.have = have
