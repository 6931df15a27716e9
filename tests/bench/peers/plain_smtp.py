"""The straightforward Python script for mail: the same work as the Haraka plugin, as a good developer would write it.

aiosmtpd + Python's email parser + redis-py + aio-pika, one mail at a time per connection, nothing batched by hand.
Attachments are files before the mail is answered; the raw mail is not kept.
"""

import asyncio
import hashlib
import json
import os
import signal
import tempfile
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aio_pika
from aiosmtpd.smtp import SMTP, Envelope, Session
from redis.asyncio import Redis

EXCHANGE = "events"
QUEUE = "helpdesk"
ROUTING_KEY = "v1.email.mail.message.received"
WINDOW_SECS = 604800
MAX_BYTES = 36_700_160
FILES = Path(os.environ["FOLDER"]) / "attachments"


def keep(data: bytes) -> str:
    """Write an attachment to disk, under the hash of its content, and return the hash."""
    digest = hashlib.sha256(data).hexdigest()
    handle, name = tempfile.mkstemp(dir=FILES)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).rename(FILES / digest)
    return digest


def text_of(mail: EmailMessage, kind: str) -> str:
    """Return the plain or the HTML text."""
    body = mail.get_body((kind,))
    return body.get_content() if isinstance(body, EmailMessage) else ""


def to_rpc(mail: EmailMessage, event_id: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Convert a mail into a JSON-RPC notification."""
    return {
        "jsonrpc": "2.0",
        "method": "message.received",
        "params": {
            "event_id": event_id,
            "channel": {"id": "mail", "type": "email"},
            "conversation": str(mail["From"]),
            "sender": str(mail["From"]),
            "subject": str(mail["Subject"]),
            "sent_at": str(mail["Date"]),
            "received_at": datetime.now(UTC).isoformat(),
            "text": text_of(mail, "plain"),
            "html": text_of(mail, "html"),
            "attachments": files,
        },
    }


class Handler:
    """Answers 250 once the message is in the queue, or was before."""

    def __init__(self, redis: Redis, events: aio_pika.abc.AbstractExchange) -> None:
        """Deduplicate with Redis, publish to `events`."""
        self.redis, self.events = redis, events

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        event_id = hashlib.sha256(f"mail:{mail['Message-ID']}".encode()).hexdigest()[:32]
        key = f"dedup:{event_id}"
        if not await self.redis.set(key, "1", ex=WINDOW_SECS, nx=True):
            return "250 OK"
        files = []
        for part in mail.iter_attachments():
            data = part.get_payload(decode=True)
            if isinstance(data, bytes):
                digest = await asyncio.to_thread(keep, data)
                files.append({"name": part.get_filename(), "type": part.get_content_type(), "sha256": digest})
        message = aio_pika.Message(
            json.dumps(to_rpc(mail, event_id, files)).encode(),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event_id,
            type="message.received",
            content_type="application/json",
            timestamp=datetime.now(UTC),
        )
        try:
            await self.events.publish(message, ROUTING_KEY)
        except aio_pika.exceptions.AMQPError:
            await self.redis.delete(key)
            return "451 Try again"
        return "250 OK"


async def main() -> None:
    """Serve until SIGTERM."""
    FILES.mkdir(parents=True)
    loop = asyncio.get_running_loop()
    async with (
        Redis.from_url(os.environ["REDIS_URL"]) as redis,
        await aio_pika.connect_robust(os.environ["AMQP_URL"]) as amqp,
    ):
        channel = await amqp.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, "v1.*.*.message.#")
        handler = Handler(redis, exchange)

        def protocol() -> SMTP:
            return SMTP(handler, data_size_limit=MAX_BYTES, hostname="plain", loop=loop)

        server = await loop.create_server(protocol, "127.0.0.1", int(os.environ["PORT"]))
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
