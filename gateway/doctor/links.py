"""Links to media: whether a provider could fetch what we send."""

from __future__ import annotations

from connectors.api import Blobs, Capabilities, Connector, LinkMaker
from connectors.errors import Busy, SendError
from connectors.http import call
from connectors.webhook import WebhookConnector
from gateway.doctor.mirror import LOCAL, TIMEOUT_SECS, Face
from normalizer.checks import Check

MEDIA = frozenset({"image", "audio", "video", "file", "sticker"})
CONTENT = b"This file lets the channel doctor try a media link.\n"


def needs_links(connector: Connector, able: Capabilities) -> bool:
    """Tell whether the provider fetches media from us, instead of being given them."""
    if not isinstance(connector, WebhookConnector) or not MEDIA.intersection(able.parts):
        return False
    made, base = type(connector), WebhookConnector
    return made.upload is base.upload and made.upload_part is base.upload_part


async def try_link(face: Face, blobs: Blobs, link: LinkMaker) -> Check:
    """Fetch a file of ours as the provider would."""
    if face.public_url is None:
        return Check(name="media", ok=None, detail="the provider cannot fetch our files", hint=LOCAL)
    try:
        url, _ = link(await blobs.put(CONTENT), mime="text/plain", name="doctor.txt")
        answer = await call(face.http, "GET", url, timeout=TIMEOUT_SECS)
    except (SendError, Busy) as exc:
        return Check(name="media", ok=False, detail=f"a media link cannot be fetched: {exc}")
    if answer.ok and answer.body == CONTENT:
        return Check(name="media", ok=True, detail="media links can be fetched")
    detail = f"a media link is answered HTTP {answer.status}" + (" with something else" if answer.ok else "")
    hint = "public_url must lead to /media/ of this gateway, or of a node that shares its data_dir"
    return Check(name="media", ok=False, detail=detail, hint=hint)
