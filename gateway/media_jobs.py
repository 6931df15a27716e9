"""Media that must still be fetched: durable before the provider hears that its delivery was accepted.

Jobs of ``media.db`` (`gateway.jobs`). A job is *held* until its message is durable, so that `media.stored` does not
come before `message.received`; `start` gives it free. It ends as ``stored`` or ``failed``, and its row stays for as
long as the channel remembers its deliveries: a late copy of the message makes no second job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from gateway import jobs
from gateway.jobs import MAX_BYTES, Jobs, Row
from normalizer import ids
from normalizer.model import ChannelRef, Conversation, MessageParams, MessageRef
from normalizer.parts import Card, Carousel, Media, MediaPart, Text
from normalizer.raw import Event


class Job(Struct, frozen=True, kw_only=True):
    """One media item of one message.

    Attributes:
        media: as the codec made it; once it was fetched, as it is stored.
        error: why it was given up, once it was.
    """

    channel: ChannelRef
    message: MessageRef
    media: Media
    conversation: Conversation | None = None
    error: dict[str, str] | None = None

    @property
    def key(self) -> str:
        """The same for all copies and revisions of the message."""
        return ids.digest(self.channel.id, self.message.id or "", self.media.id)


Taken = jobs.Taken[Job]


def pending(events: Iterable[Event]) -> list[Job]:
    """List the media of these events that have yet to be fetched; nearly always none."""
    found = []
    for event in events:
        params = event.params
        if type(params) is MessageParams:
            for part in params.message.parts:
                if type(part) is Text:  # nearly all; the rest takes five times as long
                    continue
                if isinstance(part, MediaPart):
                    found += _jobs(params, [part.media])
                elif isinstance(part, Card | Carousel):
                    found += _jobs(params, [item.media for item in part.items if item.media is not None])
    return found


def _jobs(params: MessageParams, media: Iterable[Media]) -> list[Job]:
    message = MessageRef(id=params.message.id, provider_id=params.message.provider_id)
    return [
        Job(channel=params.channel, message=message, media=one, conversation=params.conversation)
        for one in media
        if one.status == "pending" and one.provider_id
    ]


class MediaJobs(Jobs[Job]):
    """See the module."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,  # noqa: TID251 -- rows outlive the process
    ) -> None:
        """Name the file and its size limit."""
        super().__init__(path, "media", Job, max_bytes=max_bytes, clock=clock)

    async def hold(self, jobs: Sequence[Job], retry_secs: float) -> None:
        """Keep jobs, unless they are known; durable when it returns.

        Args:
            jobs: to be given free by `start`.
            retry_secs: how long to try, where the provider sets no end.

        Raises:
            Busy: the disk is full.
        """
        cap = self._clock() + retry_secs
        await self.keep([Row(job.key, job.channel.id, _until(job.media, cap), job) for job in jobs], held=True)

    def start(self, jobs: Iterable[Job]) -> None:
        """Give jobs free, some time soon: their message is durable. Nobody waits for it."""
        self.start_keys([job.key for job in jobs])


def _until(media: Media, cap: float) -> float:
    return cap if media.expires_at is None else media.expires_at.timestamp()
