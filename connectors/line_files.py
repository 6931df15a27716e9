"""Files that people sent over LINE (https://developers.line.biz/en/reference/messaging-api/#get-content)."""

from __future__ import annotations

import re

from msgspec import Struct

from connectors import http
from connectors.api import Context, Fetched
from connectors.errors import Deferred, Refused
from connectors.line_api import refusal, result

PREPARING = 202
AGAIN_SECS = 5.0
CONTENT, STICKER = re.compile(r"\d{1,32}"), re.compile(r"\d{1,32}/(\d{1,32})")


class _Transcoding(Struct, frozen=True):
    status: str


class Files:
    """Of one channel."""

    def __init__(self, context: Context, *, base: str, token: str, timeout: float, hide: tuple[str, ...]) -> None:
        """Fetch from `base`; each file may take `timeout` seconds, and no error shows what is in `hide`."""
        self._http, self._base, self._timeout, self._hide = context.http, base.rstrip("/"), timeout, hide
        self._headers = {"Authorization": f"Bearer {token}"}

    async def fetch(self, message_id: str, *, max_bytes: int) -> Fetched:
        """Download the file of a message.

        Raises:
            Deferred: LINE still prepares it, as it does with long videos and recordings.
            TooLarge: more than `max_bytes`.
            Refused: LINE could not prepare it, or has it no more.
            SendError: otherwise.
        """
        url = f"{self._base}/v2/bot/message/{message_id}/content"
        answer = await self._get(url, max_bytes)
        if answer.status != PREPARING:
            mime = answer.headers.get("Content-Type", "").partition(";")[0].strip() or None
            return Fetched(data=answer.body, mime=mime)
        told = result(await self._get(f"{url}/transcoding", http.ANSWER_BYTES), _Transcoding)
        if told.status == "failed":
            raise Refused("LINE could not prepare this file")
        raise Deferred("LINE still prepares this file", retry_after=AGAIN_SECS)

    async def _get(self, url: str, max_bytes: int) -> http.Answer:
        answer = await http.call(
            self._http, "GET", url, headers=self._headers, timeout=self._timeout, max_bytes=max_bytes
        )
        error = refusal(answer, self._hide)
        if error is not None:
            raise error
        return answer
