"""What a provider is answered to a delivery; nothing of our reasons is shown outside."""

from __future__ import annotations

from connectors.api import Reply
from connectors.errors import Busy, Unauthorized
from normalizer.errors import MalformedPayload

ACCEPTED = Reply()
NOT_ALLOWED = Reply(status=405, body=b"method_not_allowed", headers={"Allow": "POST"})
NOT_RUNNING = Reply(status=503, body=b"busy", headers={"Retry-After": "1"})
FAILED = Reply(status=500, body=b"internal")


def answer_to(exc: Exception) -> Reply:
    """Choose the answer to a delivery that was not accepted; `FAILED` where the fault is ours."""
    match exc:
        case Unauthorized(status=status, code=code):
            return Reply(status=status, body=code.encode())
        case MalformedPayload(code=code):
            return Reply(status=400, body=code.encode())
        case Busy(retry_after=seconds):
            return Reply(status=503, body=b"busy", headers={"Retry-After": str(max(1, round(seconds)))})
        case _:
            return FAILED
