"""The hand-packed frames against pamqp, which packs them for everybody else."""

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header

from gateway.broker import frames
from gateway.broker.api import Publication

SHORT = st.text(max_size=40)
HEADERS = st.dictionaries(SHORT, st.text(max_size=300) | st.integers(-(2**62), 2**62), max_size=6)


def read(data: bytes) -> list[tuple[int, object]]:
    found = []
    while data:
        size, channel, frame = pamqp.frame.unmarshal(data)
        found.append((channel, frame))
        data = data[size:]
    return found


@given(
    routing_key=SHORT,
    exchange=SHORT,
    body=st.binary(max_size=300),
    headers=HEADERS,
    message_id=SHORT,
    method=SHORT,
    timestamp=st.integers(0, 2**32 - 1),
    persistent=st.booleans(),
    expiration=st.none() | st.integers(0, 10**9),
    reply_to=st.none() | SHORT,
    correlation_id=st.none() | SHORT,
    channel=st.integers(1, 65535),
    body_max=st.integers(1, 120),
)
def test_pamqp_reads_back_what_was_packed(
    routing_key,
    exchange,
    body,
    headers,
    message_id,
    method,
    timestamp,
    persistent,
    expiration,
    reply_to,
    correlation_id,
    channel,
    body_max,
):
    item = Publication(
        routing_key=routing_key,
        exchange=exchange,
        body=body,
        headers=headers,
        message_id=message_id,
        method=method,
        timestamp=timestamp,
        persistent=persistent,
        expiration_ms=expiration,
        reply_to=reply_to,
        correlation_id=correlation_id,
    )

    found = read(frames.publish(item, channel, body_max))

    assert {number for number, _ in found} == {channel}
    (_, publish), (_, content), *bodies = found
    assert isinstance(publish, commands.Basic.Publish)
    assert (publish.exchange, publish.routing_key, publish.mandatory) == (exchange, routing_key, True)
    assert isinstance(content, header.ContentHeader)
    assert content.body_size == len(body)
    properties = content.properties
    assert properties.headers == headers
    assert properties.message_id == message_id
    assert properties.message_type == method
    assert properties.delivery_mode == (2 if persistent else 1)
    assert properties.content_type == "application/json"
    assert properties.app_id == "omnigate"
    assert properties.timestamp.timestamp() == timestamp
    assert properties.expiration == (None if expiration is None else str(expiration))
    assert (properties.reply_to, properties.correlation_id) == (reply_to, correlation_id)
    assert b"".join(part.value for _, part in bodies) == body
    assert all(len(part.value) <= body_max for _, part in bodies)


def test_a_key_longer_than_amqp_allows_is_an_error_and_not_a_broken_frame():
    item = Publication(routing_key="x" * 256, body=b"", headers={}, message_id="m", method="m", timestamp=0)

    with pytest.raises(ValueError, match="255 bytes"):
        frames.publish(item, 1, 100)
