"""What can go wrong between sound and text."""

from __future__ import annotations

from normalizer.errors import OmniError


class AsrError(OmniError):
    """Base of this branch."""

    code = "asr_error"


class Unavailable(AsrError):
    """No recogniser now: all are busy, or starting, or this one fell behind. Another try may work."""

    code, retryable = "speech_unavailable", True


class Died(Unavailable):
    """The recogniser died, or failed, while it listened: of what it heard, perhaps."""


class MissingModel(AsrError):
    """There is no usable model for a language; another try works once somebody installed one."""

    code, retryable = "no_model", True


class Unreadable(AsrError):
    """No sound can be had of this file, now or later.

    Attributes:
        code: ``unreadable``, ``no_audio``, ``too_long`` or ``unsupported``.
    """

    code = "unreadable"

    def __init__(self, message: str, code: str = "unreadable") -> None:
        """Say what is wrong with the file, in a word for programs and a sentence for people."""
        super().__init__(message)
        self.code = code


class InstallError(AsrError):
    """A model could not be downloaded or unpacked; the message says what to do."""

    code = "install_failed"
