"""Media on their way out: what the core names becomes what the provider can use.

The core names media in one of three ways: a blob of ours (`status` ``stored`` and `sha256`), a `provider_id` the
provider gave, or the `url` of somebody else. Only the first needs work: a link the provider fetches from, or an upload.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from connectors.api import Context, Fetched
from connectors.download import download
from connectors.errors import SendError
from connectors.http import TooLarge
from connectors.stores import PREFIX
from normalizer.parts import AnyPart, Card, CardItem, Carousel, Image, Media, MediaPart
from normalizer.raw import Outbound

Upload = Callable[[MediaPart], Awaitable[Media]]
"""Brings one blob of ours to where the provider has it; returns the media with `provider_id` or `url` set."""

REMEMBERED_MAX = 1024
"""Messages whose uploads are remembered for the next try."""
SPARE = timedelta(minutes=1)
"""What ends so soon is not used again."""


class MediaUnavailable(SendError):
    """A media item of an outbound message stands for nothing that can be sent."""

    code = "media_unavailable"


def ref_of(media: Media) -> str | None:
    """Return the reference of a blob of ours, or None when the media is somebody else's."""
    return PREFIX + media.sha256 if media.sha256 and media.status == "stored" else None


class Staging:
    """What `WebhookConnector` does about media; other connectors may use it, too."""

    def __init__(
        self,
        context: Context,
        *,
        hosts: Collection[str],
        timeout: float,
        max_bytes: int,
        urls: bool = False,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- links and handles end at a time of day
    ) -> None:
        """Fetch from `hosts` also when they are not public; `timeout` in seconds and `max_bytes` hold for one file.

        With `urls` media that have only the `url` of somebody else are uploaded, too: the provider fetches none.
        """
        self._context, self._timeout, self._max_bytes, self._clock = context, timeout, max_bytes, clock
        self._urls = urls
        self._hosts = frozenset(host.rstrip(".").lower() for host in hosts)
        self._uploaded: dict[str, dict[tuple[str, str, bool], Media]] = {}

    async def fetch(self, url: str, *, max_bytes: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """Download through the guard; see `connectors.download.download`."""
        return await download(url, max_bytes=max_bytes, timeout=self._timeout, headers=headers, allow=self._hosts)

    async def stage(self, message: Outbound, upload: Upload) -> Outbound:
        """Replace every blob of ours by what `upload` makes of it; messages without media pass as they are.

        What was uploaded for a message is remembered until `done`, so that its next try uploads nothing twice.

        Raises:
            MediaUnavailable: a media has nothing to send: no blob, no `provider_id`, no `url`.
            SendError: as `upload` does.
        """
        parts = await self._parts(message.parts, upload, message.id)
        return message if parts is message.parts else replace(message, parts=parts)

    async def stage_parts(self, parts: tuple[AnyPart, ...], upload: Upload) -> tuple[AnyPart, ...]:
        """Do it for `parts` of something else than a message, and remember nothing."""
        return await self._parts(parts, upload, None)

    async def _parts(self, parts: tuple[AnyPart, ...], upload: Upload, key: str | None) -> tuple[AnyPart, ...]:
        if not any(isinstance(part, MediaPart | Card | Carousel) for part in parts):
            return parts
        return tuple([await self._staged(part, upload, key) for part in parts])

    def done(self, key: str) -> None:
        """Forget what was uploaded for a message: it was sent."""
        self._uploaded.pop(key, None)

    async def _staged(self, part: AnyPart, upload: Upload, key: str | None) -> AnyPart:
        if isinstance(part, MediaPart):
            return replace(part, media=await self._media(part, upload, key))
        if isinstance(part, Card | Carousel):
            return replace(part, items=tuple([await self._item(item, upload, key) for item in part.items]))
        return part

    async def _item(self, item: CardItem, upload: Upload, key: str | None) -> CardItem:
        if item.media is None:
            return item
        return replace(item, media=await self._media(Image(media=item.media), upload, key))

    async def _media(self, part: MediaPart, upload: Upload, key: str | None) -> Media:
        media, ref = part.media, ref_of(part.media)
        if ref is None or not await self._context.blobs.exists(ref):
            ref = _foreign(media).url
            if media.provider_id or ref is None or not self._urls:
                return media
        mine = {} if key is None else self._uploaded.setdefault(key, {})
        name = (ref, str(part.__struct_config__.tag), media.voice)
        known = mine.get(name)
        if known is None or not self._lasts(known):
            known = mine[name] = await upload(part)
            if len(self._uploaded) > REMEMBERED_MAX:
                del self._uploaded[next(iter(self._uploaded))]
        return replace(media, provider_id=known.provider_id, url=known.url, expires_at=known.expires_at)

    def _lasts(self, media: Media) -> bool:
        return media.expires_at is None or media.expires_at > datetime.fromtimestamp(self._clock(), UTC) + SPARE

    def linked(self, media: Media) -> Media:
        """Name a blob of ours by a public link; its `provider_id`, which may be another channel's, is dropped."""
        url, until = self._context.link(_own(media), mime=media.mime, name=media.name)
        return replace(media, url=url, expires_at=until, provider_id=None)

    async def bytes_of(self, media: Media, *, max_bytes: int | None = None) -> Fetched:
        """Read a blob of ours, or download the `url` of somebody else through the guard.

        Raises:
            MediaUnavailable: it is neither.
            TooLarge: more than `max_bytes`, or than the channel's `media_max_bytes`.
            SendError: as `fetch` does.
        """
        limit, ref = max_bytes or self._max_bytes, ref_of(media)
        if ref is None:
            if not media.url:
                raise _nothing(media)
            return await self.fetch(media.url, max_bytes=limit)
        try:
            data = await self._context.blobs.get(ref)
        except KeyError:
            raise _nothing(media) from None
        if len(data) > limit:
            raise TooLarge(f"the file is larger than {limit} bytes")
        return Fetched(data=data, mime=media.mime, name=media.name)


def _own(media: Media) -> str:
    ref = ref_of(media)
    if ref is None:
        raise _nothing(media)
    return ref


def _foreign(media: Media) -> Media:
    """Pass what names something the provider can get at; a link of our own to a blob that is gone is nothing."""
    if media.provider_id or (media.url and ref_of(media) is None):
        return media
    raise _nothing(media)


def _nothing(media: Media) -> MediaUnavailable:
    if ref_of(media) is not None:
        return MediaUnavailable("this gateway has no file of this `sha256` (any more): put it in by POST /api/media")
    return MediaUnavailable(
        "a media needs `sha256` and `status: stored` (a file put in by POST /api/media), `provider_id` or `url`"
    )
