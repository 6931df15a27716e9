"""The straightforward Python script for a chat: WebSockets to RabbitMQ and back, as a good developer would write it.

websockets + aio-pika. A visitor's message is answered once RabbitMQ has confirmed it; answers come out of a queue and
go to whoever is connected. Nobody is recognised, nothing is remembered; what comes for somebody who is away is lost.
"""

import asyncio
import json
import os
import signal
import uuid
from datetime import UTC, datetime
from typing import Any

import aio_pika
from websockets.asyncio.server import ServerConnection, serve

EXCHANGE = "events"
QUEUE = "helpdesk"
ANSWERS = "answers"
ROUTING_KEY = "v1.chat.web.message.received"
PREFETCH = 100


def to_rpc(said: dict[str, Any], visitor: str) -> dict[str, Any]:
    """Convert a visitor's message into a JSON-RPC notification."""
    return {
        "jsonrpc": "2.0",
        "method": "message.received",
        "params": {
            "event_id": f"{visitor}:{said['id']}",
            "channel": {"id": "web", "type": "chat"},
            "conversation": visitor,
            "received_at": datetime.now(UTC).isoformat(),
            "parts": [{"type": "text", "text": said["text"]}],
        },
    }


class Chat:
    """Who is connected."""

    def __init__(self, events: aio_pika.abc.AbstractExchange) -> None:
        """Publish to `events`."""
        self.events = events
        self.visitors: dict[str, ServerConnection] = {}

    async def visit(self, socket: ServerConnection) -> None:
        """Serve a visitor: his first message is a greeting."""
        visitor = uuid.uuid4().hex
        await socket.recv()
        await socket.send(json.dumps({"session": visitor}))
        self.visitors[visitor] = socket
        try:
            async for frame in socket:
                said = json.loads(frame)
                rpc = to_rpc(said, visitor)
                message = aio_pika.Message(
                    json.dumps(rpc).encode(),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=rpc["params"]["event_id"],
                    content_type="application/json",
                )
                await self.events.publish(message, ROUTING_KEY)
                await socket.send(json.dumps({"id": said["id"], "ok": True}))
        finally:
            del self.visitors[visitor]

    async def answer(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        """Take an answer to a visitor."""
        async with message.process():
            told = json.loads(message.body)
            socket = self.visitors.get(told["to"])
            if socket is not None:
                await socket.send(json.dumps({"text": told["text"]}))


async def main() -> None:
    """Serve until SIGTERM."""
    async with await aio_pika.connect_robust(os.environ["AMQP_URL"]) as amqp:
        channel = await amqp.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        durable = {"x-queue-type": "quorum"}
        queue = await channel.declare_queue(QUEUE, durable=True, arguments=durable)
        await queue.bind(exchange, "v1.*.*.message.#")
        chat = Chat(exchange)
        reading = await amqp.channel()
        await reading.set_qos(prefetch_count=PREFETCH)
        answers = await reading.declare_queue(ANSWERS, durable=True, arguments=durable)
        await answers.consume(chat.answer)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with serve(chat.visit, "127.0.0.1", int(os.environ["PORT"]), backlog=1024):
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
