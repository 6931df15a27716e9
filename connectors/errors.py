"""What can go wrong between a connector and its provider."""

from __future__ import annotations

from normalizer.errors import OmniError


class ConnectorError(OmniError):
    """Base of this branch."""

    code = "connector_error"


class Unauthorized(ConnectorError):
    """The inbound request is not from whom it claims; counted, its body never logged.

    Attributes:
        status: the HTTP answer, 401 or (WeChat) 403.
    """

    code = "unauthorized"

    def __init__(self, message: str = "unauthorized", status: int = 401) -> None:
        """Give a reason without any part of the expected signature."""
        super().__init__(message)
        self.status = status


class Busy(ConnectorError):
    """The gateway cannot take the event now; the provider should try again.

    Attributes:
        retry_after: seconds.
    """

    code, retryable = "busy", True

    def __init__(self, retry_after: float = 1.0, message: str = "busy") -> None:
        """Say when to come back."""
        super().__init__(message)
        self.retry_after = retry_after


class StateUnavailable(ConnectorError):
    """What the channel remembers (`connectors.api.State`) cannot be read or written now."""

    code, retryable = "state_unavailable", True


class SendError(ConnectorError):
    """An outbound message was not accepted by the provider.

    Attributes:
        provider_code: the provider's own error code, where it gave one.
        provider_text: its words, shortened; never logged above debug.
    """

    code = "send_failed"

    def __init__(self, message: str, *, provider_code: str | None = None, provider_text: str | None = None) -> None:
        """Keep the provider's answer for whoever asked."""
        super().__init__(message)
        self.provider_code = provider_code
        self.provider_text = provider_text


class Unreachable(SendError):
    """Timeout, refused connection or 5xx."""

    code, retryable = "unreachable", True


class Throttled(SendError):
    """The provider asked us to slow down; pauses the channel.

    Attributes:
        retry_after: seconds, as the provider said, or None.
    """

    code, retryable = "throttled", True

    def __init__(self, message: str, *, retry_after: float | None = None, provider_text: str | None = None) -> None:
        """Say how long to wait."""
        super().__init__(message, provider_code="429", provider_text=provider_text)
        self.retry_after = retry_after


class Deferred(SendError):
    """The recipient's side cannot take this message now (greylisting, mailbox full); other messages may go on.

    Attributes:
        retry_after: seconds before which another try is useless, or None.
    """

    code, retryable = "deferred", True

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        provider_code: str | None = None,
        provider_text: str | None = None,
    ) -> None:
        """Say how long to wait."""
        super().__init__(message, provider_code=provider_code, provider_text=provider_text)
        self.retry_after = retry_after


class Refused(SendError):
    """The provider will never accept this message."""

    code = "refused"


class RecipientGone(SendError):
    """The recipient blocked us, left or does not exist."""

    code = "recipient_gone"


class WindowClosed(SendError):
    """The provider's reply window is over; a template may still pass."""

    code = "window_closed"


class Misconfigured(SendError):
    """Our credentials or settings are wrong; nothing will pass until they are mended."""

    code = "misconfigured"
