"""The straightforward Python script: the same work as plain.js, as a good developer would write it plainly.

aiohttp + redis-py + aio-pika, one request at a time, nothing batched by hand.
"""

import hashlib
import hmac
import json
import logging
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aiohttp import web
from redis.asyncio import Redis

EXCHANGE = "events"
QUEUE = "helpdesk"
ROUTING_KEY = "v1.telegram.tg.message.received"
WINDOW_SECS = 604800
SECRET = os.environ["SECRET"]

REDIS = web.AppKey("redis", Redis)
EVENTS = web.AppKey("events", aio_pika.abc.AbstractExchange)


def to_rpc(update: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Convert a Telegram update into a JSON-RPC notification."""
    message = update["message"]
    return {
        "jsonrpc": "2.0",
        "method": "message.received",
        "params": {
            "event_id": event_id,
            "channel": {"id": "tg", "type": "telegram"},
            "conversation": str(message["chat"]["id"]),
            "sender": {"id": str(message["from"]["id"]), "name": message["from"]["first_name"]},
            "sent_at": datetime.fromtimestamp(message["date"], UTC).isoformat(),
            "received_at": datetime.now(UTC).isoformat(),
            "parts": [{"type": "text", "text": message.get("text", "")}],
        },
    }


async def receive(request: web.Request) -> web.Response:
    """Answer 200 once the message is in the queue, or was before."""
    if not hmac.compare_digest(request.headers.get("X-Telegram-Bot-Api-Secret-Token", ""), SECRET):
        return web.Response(status=401)
    try:
        update = await request.json()
        event_id = hashlib.sha256(f"tg:{update['update_id']}".encode()).hexdigest()[:32]
        rpc = to_rpc(update, event_id)
    except (ValueError, KeyError, TypeError):
        return web.Response(status=400)
    redis = request.app[REDIS]
    key = f"dedup:{event_id}"
    if not await redis.set(key, "1", ex=WINDOW_SECS, nx=True):
        return web.Response()
    message = aio_pika.Message(
        json.dumps(rpc).encode(),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=event_id,
        type="message.received",
        content_type="application/json",
        timestamp=datetime.now(UTC),
    )
    try:
        await request.app[EVENTS].publish(message, ROUTING_KEY)
    except aio_pika.exceptions.AMQPError:
        logging.getLogger("plain").exception("publish failed")
        await redis.delete(key)
        return web.Response(status=503)
    return web.Response()


async def connections(app: web.Application) -> AsyncIterator[None]:
    """Connect to Redis and RabbitMQ while the application runs."""
    async with (
        Redis.from_url(os.environ["REDIS_URL"]) as redis,
        await aio_pika.connect_robust(os.environ["AMQP_URL"]) as amqp,
    ):
        channel = await amqp.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, "v1.*.*.message.#")
        app[REDIS], app[EVENTS] = redis, exchange
        yield


def main() -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.cleanup_ctx.append(connections)
    app.router.add_post("/c/tg", receive)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=None)


if __name__ == "__main__":
    main()
