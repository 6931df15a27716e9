"""Talking to the broker; the only home of aio-pika."""
