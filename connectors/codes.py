"""One table per provider: what its error codes are to us."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from connectors.errors import Misconfigured, RecipientGone, Refused, SendError, Throttled, Unreachable, WindowClosed


class TokenRefused(Misconfigured):
    """The access token was not accepted; another one may be."""


class Codes(Struct, frozen=True, kw_only=True):
    """The codes of one provider; what is in none of them is a refusal of this one message.

    Attributes:
        provider: its name, for error texts.
        hints: code → what to do about it.
        slow: code → seconds to wait; None where the provider does not say.
        spent: a quota is used up: not worth a pause of the channel, for other messages may go on, nor another try.
        token: the access token is none (any more).
        busy: trouble of the provider's own.
        window: the reply window is over.
        gone: the recipient does not exist, or takes no messages of ours.
        ours: our credentials, our rights, our address or our account are not right.
    """

    provider: str
    hints: Mapping[int, str] = {}
    slow: Mapping[int, float | None] = {}
    spent: frozenset[int] = frozenset()
    token: frozenset[int] = frozenset()
    busy: frozenset[int] = frozenset()
    window: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    ours: frozenset[int] = frozenset()

    def error(self, code: int, text: str) -> SendError:
        """Return the error for `code`; `text` is the provider's words, shortened and without secrets."""
        hint = self.hints.get(code)
        message = f"{self.provider} answered {code}" + (f": {hint}" if hint else "")
        if code in self.slow or code in self.spent:
            error = Throttled(message, retry_after=self.slow.get(code, 0.0), provider_text=text)
            error.provider_code, error.retryable = str(code), code in self.slow
            return error
        return self._kind(code)(message, provider_code=str(code), provider_text=text)

    def _kind(self, code: int) -> type[SendError]:
        kinds: tuple[tuple[frozenset[int], type[SendError]], ...] = (
            (self.token, TokenRefused),
            (self.busy, Unreachable),
            (self.window, WindowClosed),
            (self.gone, RecipientGone),
            (self.ours, Misconfigured),
        )
        return next((kind for codes, kind in kinds if code in codes), Refused)
