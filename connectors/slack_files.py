"""Files of Slack, up and down.

https://docs.slack.dev/messaging/working-with-files. A file is uploaded in three steps: ask for a URL, post the bytes
there, share it; the last one is a call of the codec's, so that it stands in order with the other messages.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlencode, urlsplit

import aiohttp
from msgspec import Struct
from msgspec.structs import replace

from connectors import http
from connectors.api import Fetched
from connectors.errors import Misconfigured, Refused, SendError
from connectors.http import Answer
from connectors.slack_api import Upload, result
from normalizer.codecs.slack_send import UPLOADED
from normalizer.parts import Media
from normalizer.raw import Wire

HOSTS = ("slack.com", "slack-files.com")
"""Whose files they are; the token is shown to nobody else."""
FORM = "application/x-www-form-urlencoded"

Call = Callable[[Wire], Awaitable[Answer]]
"""Performs a call of the Web API and returns its answer if it is a success; raises `SendError`."""


class Info(Struct, frozen=True):
    """A file in the answer of `files.info`."""

    url_private: str | None = None
    url_private_download: str | None = None
    name: str | None = None
    mimetype: str | None = None
    size: int | None = None


class Infos(Struct, frozen=True):
    """https://docs.slack.dev/reference/methods/files.info."""

    file: Info


async def upload(call: Call, session: aiohttp.ClientSession, media: Media, content: Fetched, timeout: float) -> Media:  # noqa: ASYNC109 -- of the transfer
    """Upload a file that is still to be shared; returns its media with the id marked so.

    Raises:
        Refused: the file is empty.
        SendError: by Slack's answer.
    """
    if not content.data:
        raise Refused("Slack takes no empty files")
    name = content.name or media.name or _name(content.mime or media.mime)
    asked = urlencode({"filename": name, "length": len(content.data)}).encode()
    # this method takes forms only, unlike most
    wire = Wire(method="POST", url="/files.getUploadURLExternal", headers={"Content-Type": FORM}, body=asked)
    told = result(await call(wire), Upload)
    answer = await http.call(
        session,
        "POST",
        told.upload_url,
        headers={"Content-Type": content.mime or "application/octet-stream"},
        body=content.data,
        timeout=timeout,
    )
    error = http.refusal(answer)
    if error is not None:
        raise error
    return replace(media, name=name, provider_id=UPLOADED + told.file_id, url=None)


def _name(mime: str | None) -> str:
    return "file" + (mimetypes.guess_extension((mime or "").partition(";")[0].strip()) or "")


async def locate(call: Call, media: Media, hosts: Collection[str]) -> str:
    """Return the URL of a file, which is Slack's, so that the token may be shown there.

    Raises:
        Refused: it is at somebody else's, or Slack does not give it.
        SendError: by Slack's answer.
    """
    native = media.provider_id or ""
    if "://" not in native:  # shared from another workspace: Slack gives an id, and the rest on request
        wire = Wire(method="GET", url=f"/files.info?{urlencode({'file': native})}")
        found = result(await call(wire), Infos).file
        native = found.url_private or found.url_private_download or ""
    if not native:
        raise Refused("Slack does not give this file out")
    host = (urlsplit(native).hostname or "").lower()
    if host not in hosts and not any(host == one or host.endswith(f".{one}") for one in HOSTS):
        raise Refused("the file is not at Slack's, who alone may see the token")
    return native


def checked(fetched: Fetched, media: Media) -> Fetched:
    """Notice that Slack sent its login page instead of the file; raises `Misconfigured`."""
    told = (fetched.mime or "").partition(";")[0].strip().lower()
    if told == "text/html" and not (media.mime or "").startswith("text/html"):
        raise Misconfigured("Slack asks to log in instead of giving the file: the token needs the scope files:read")
    return fetched


def classified(exc: SendError) -> SendError:
    """Tell a file that we may not see from a token that is wrong: 403 is said of one file only."""
    if isinstance(exc, Misconfigured) and exc.provider_code == "403":
        return Refused(str(exc), provider_code=exc.provider_code)
    return exc
