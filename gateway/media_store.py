"""From a media item at the provider to a blob with a link: one way for what is fetched at receipt and on request."""

from __future__ import annotations

from msgspec.structs import replace

from connectors.api import Blobs, ChannelConfig, LinkMaker, MediaSource
from connectors.http import TooLarge
from connectors.media_types import check_type, type_of
from connectors.stores import PREFIX
from normalizer.parts import Media


async def fetch(source: MediaSource, media: Media, options: ChannelConfig, blobs: Blobs) -> Media:
    """Fetch a media item and keep it; returns it as ``stored``, without link.

    Raises:
        TooLarge: more than `media_max_bytes`.
        TypeRefused: of a type the channel does not keep.
        SendError: by the provider's answer.
        Busy: there is no room for it on the disk.
    """
    limit = options.media_max_bytes
    if (media.size or 0) > limit:
        raise TooLarge(f"the file is larger than {limit} bytes")
    declared = type_of(b"", media.mime)
    if declared is not None:  # no need to fetch what will not be kept
        check_type(declared, media.name, options.media_types)
    fetched = await source.fetch_media(media, max_bytes=limit)
    if len(fetched.data) > limit:  # a connector that did not look
        raise TooLarge(f"the file is larger than {limit} bytes")
    mime, name = type_of(fetched.data, media.mime, fetched.mime), media.name or fetched.name
    check_type(mime, name, options.media_types)
    ref = await blobs.put(fetched.data)
    size, digest = len(fetched.data), ref.removeprefix(PREFIX)
    return replace(media, status="stored", mime=mime, name=name, size=size, sha256=digest, url=None, expires_at=None)


def linked(media: Media, link: LinkMaker | None) -> Media:
    """Give a stored media a fresh link; without a maker of links it has none."""
    if link is None or media.sha256 is None:
        return replace(media, url=None, expires_at=None)
    url, until = link(PREFIX + media.sha256, mime=media.mime, name=media.name)
    return replace(media, url=url, expires_at=until)
