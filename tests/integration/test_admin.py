"""The admin port, with a real broker and a real channel behind it."""

from __future__ import annotations

import stat
import time
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from dirty_equals import IsPartialDict, IsStr

from connectors.api import Capabilities
from connectors.secrets import Secret
from gateway import telemetry
from gateway.doctor.provider import Asking, examine
from gateway.requests import Readiness, Requests
from gateway.settings.model import AdminSection
from gateway.settings.problems import Problem, SettingsError
from gateway.web.admin import AdminServer
from gateway.web.guard import TOKEN_FILE, admin_token, authorized, known_host
from normalizer.checks import Verification, verification
from tests.integration.outbound_lab import CAPABILITIES, CHANNEL, KIND, Lab, open_lab

TOKEN = "s3cret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class OneChannel:
    """A gateway with the channel of a `Lab`; pausing stops its sending side."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.state = "ok"
        self.error: str | None = None
        self.ready = Readiness(ready=True)
        self.problems: list[Problem] = []
        self.fault: Exception | None = None
        self.kept = [{"id": 1, "channel": CHANNEL, "reason": "no id"}, {"id": 2, "channel": CHANNEL, "reason": "no to"}]

    def ping(self) -> dict[str, Any]:
        return {"node": "gw-<1>", "version": "0", "uptime_secs": 3.0}

    def readiness(self) -> Readiness:
        return self.ready

    def overview(self) -> dict[str, Any]:
        book = {"received": 5, "published": 3, "duplicate": 1, "ignored": 0, "quarantined": 0, "spooled": 1}
        return {"ledger": {CHANNEL: book}, "spool": {"rows": 1, "oldest_secs": 90.0}, "broker": None}

    def channels(self) -> list[dict[str, Any]]:
        sending = self._lab.outbound.state
        return [{"id": CHANNEL, "kind": KIND, "state": self.state, "error": self.error, "sending": sending}]

    def channel(self, channel_id: str) -> dict[str, Any]:
        if channel_id != CHANNEL:
            raise KeyError(channel_id)
        return self.channels()[0]

    def capabilities(self, channel_id: str) -> Capabilities:
        return CAPABILITIES

    async def verify(self, channel_id: str) -> Verification:
        found = await examine(self._lab.connector, Asking(clock=time.time))
        return verification(channel_id, found.checks, found.told)

    async def pause(self, channel_id: str) -> None:
        self.state = "paused"
        await self._lab.stop()

    async def resume(self, channel_id: str) -> None:
        self.state = "ok"
        self._lab.start()

    async def reload(self) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        if self.problems:
            raise SettingsError(self.problems)
        return {"changed": []}

    async def quarantine_list(self, ids: Sequence[int], channel: str | None) -> list[dict[str, Any]]:
        return [row for row in self.kept if not ids or row["id"] in ids]

    async def quarantine_redrive(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        return {"redriven": len(await self.quarantine_list(ids, channel))}

    async def quarantine_discard(self, ids: Sequence[int], channel: str | None) -> dict[str, Any]:
        gone = await self.quarantine_list(ids, channel)
        self.kept = [row for row in self.kept if row not in gone]
        return {"discarded": len(gone)}


class Client:
    """Speaks to the admin port."""

    def __init__(self, http: aiohttp.ClientSession, server: AdminServer, lab: Lab, control: OneChannel) -> None:
        self.http, self.lab, self.control = http, lab, control
        self.base = f"http://{server.address}"

    async def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        async with self.http.get(self.base + path, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def post(
        self, path: str, body: Any = None, *, data: bytes | BytesIO | None = None, **headers: str
    ) -> tuple[int, Any]:
        options: dict[str, Any] = {"json": body} if data is None else {"data": data}
        async with self.http.post(self.base + path, headers=headers or BEARER, **options) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def ask(self, method: str, **params: Any) -> Any:
        status, answer = await self.post("/api", {"jsonrpc": "2.0", "id": "q", "method": method, "params": params})
        assert status in {200, 404}
        assert answer["id"] == "q"
        return answer


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_lab(tmp_path) as lab, aiohttp.ClientSession() as http:
        lab.start()
        control = OneChannel(lab)
        requests = Requests(control, lab.broker)
        section = AdminSection(listen="127.0.0.1:0")
        server = AdminServer(
            section, token=TOKEN, control=control, requests=requests, metrics=telemetry.exposition, call_secs=1.0
        )
        await server.start()
        serving = lab.run(requests.run())
        try:
            yield Client(http, server, lab, control)
        finally:
            serving.cancel()
            await server.close()


async def test_the_process_says_that_it_lives(client: Client) -> None:
    assert (await client.get("/healthz"))[0] == 200


async def test_readiness_is_told_with_reasons(client: Client) -> None:
    assert (await client.get("/readyz"))[:2] == (200, '{"ready":true,"reasons":[]}')

    client.control.ready = Readiness(ready=False, reasons=("the spool is full",))

    assert (await client.get("/readyz"))[:2] == (503, '{"ready":false,"reasons":["the spool is full"]}')


async def test_a_degraded_gateway_is_ready_and_says_why(client: Client) -> None:
    client.control.ready = Readiness(ready=True, reasons=("the dedup store does not answer",))

    status, text, _ = await client.get("/readyz")

    assert status == 200
    assert "dedup store" in text


async def test_metrics_count_sends_by_outcome(client: Client) -> None:
    await client.ask("message.send", channel=CHANNEL, to="anna", text="hello")

    _, text, headers = await client.get("/metrics")

    assert f'gateway_sends_total{{channel="{CHANNEL}",code="ok",kind="{KIND}"}}' in text
    assert f'gateway_send_seconds_count{{channel="{CHANNEL}",kind="{KIND}"}}' in text
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"])
async def test_without_the_token_there_is_no_api(client: Client, header: str | None) -> None:
    headers = {"X": "1"} if header is None else {"Authorization": header}

    status, _ = await client.post("/api/gateway.ping", {}, **headers)

    assert status == 401


def test_an_empty_token_lets_nobody_in() -> None:
    assert not authorized("Bearer ", "")


async def test_every_answer_has_security_headers(client: Client) -> None:
    for path in ("/", "/healthz", "/nowhere"):
        _, _, headers = await client.get(path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_foreign_host_header_is_refused(client: Client) -> None:
    assert (await client.get("/", Host="evil.example"))[0] == 421
    assert (await client.get("/healthz", Host="evil.example:8081"))[0] == 421
    assert (await client.get("/healthz", Host="localhost:1"))[0] == 200


@pytest.mark.parametrize(
    ("host", "listen", "known"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081", True),
        ("[::1]:8081", "[::1]:8081", True),
        ("[::1]", "[::1]:8081", True),
        ("gw.internal:8081", "gw.internal:8081", True),
        ("GW.internal", "gw.internal:8081", True),
        ("10.0.0.7:8081", "0.0.0.0:8081", True),
        ("gw.internal:8081", "0.0.0.0:8081", False),
        ("127.0.0.1.evil.example", "127.0.0.1:8081", False),
        ("", ":8081", False),
        (None, ":8081", False),
    ],
)
def test_known_hosts_are_addresses_and_our_own_name(host: str | None, listen: str, known: bool) -> None:  # noqa: FBT001
    assert known_host(host, listen) is known


async def test_a_message_goes_through_the_broker_and_is_answered(client: Client) -> None:
    answer = await client.ask("message.send", channel=CHANNEL, to="anna", text="hello")

    assert answer["result"] == {"message": {"id": IsStr(), "provider_ids": ["p1"]}, "status": "sent"}
    assert client.lab.provider.texts == ["hello"]


async def test_params_alone_can_be_posted_to_a_method(client: Client) -> None:
    status, answer = await client.post("/api/message.send", {"channel": CHANNEL, "to": "anna", "text": "hello"})

    assert status == 200
    assert answer["result"]["status"] == "sent"


async def test_an_error_of_the_provider_is_answered_with_its_details(client: Client) -> None:
    client.lab.provider.script.append({"status": 400, "text": "no such chat"})

    answer = await client.ask("message.send", channel=CHANNEL, to="anna", text="hello")

    assert answer["error"] == IsPartialDict(
        code=-32007, data={"retryable": False, "provider_code": "400", "provider_text": "no such chat"}
    )


async def test_an_unknown_channel_is_named_with_the_known_ones(client: Client) -> None:
    for method in ("message.send", "channel.get"):
        answer = await client.ask(method, channel="nope", **({"to": "a", "text": "b"} if method[0] == "m" else {}))

        assert answer["error"]["code"] == -32001
        assert CHANNEL in answer["error"]["message"]


async def test_an_unknown_method_is_not_found(client: Client) -> None:
    status, answer = await client.post("/api/channel.explode", {})

    assert status == 404
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff", -32700), (b"[" * 100_000, -32600), (b"[]", -32600), (b"{}", -32600), (b"5", -32600), (b"", -32700)],
)
async def test_what_is_no_request_is_a_bad_request(client: Client, data: bytes, code: int) -> None:
    status, answer = await client.post("/api", data=data)

    assert status == 400
    assert answer["error"]["code"] == code


async def test_batches_are_refused_clearly(client: Client) -> None:
    _, answer = await client.post("/api", [{"jsonrpc": "2.0", "id": 1, "method": "gateway.ping"}])

    assert "batches are not supported" in answer["error"]["message"]


async def test_a_request_without_an_id_is_refused(client: Client) -> None:
    status, answer = await client.post("/api", {"jsonrpc": "2.0", "method": "gateway.ping"})

    assert (status, answer["error"]["code"]) == (400, -32600)


async def test_params_that_are_no_object_are_refused(client: Client) -> None:
    assert (await client.post("/api/gateway.ping", [1]))[0] == 400


async def test_a_body_beyond_the_limit_is_refused(client: Client) -> None:
    assert (await client.post("/api", data=BytesIO(b" " * 1_100_000)))[0] == 413


async def test_channels_are_listed_described_paused_and_resumed(client: Client) -> None:
    listed = await client.ask("channel.list")
    paused = await client.ask("channel.pause", channel=CHANNEL)
    await client.lab.tell(to="anna", text="later", message_id="1")
    assert client.lab.provider.got == []
    resumed = await client.ask("channel.resume", channel=CHANNEL)
    await client.lab.until(client.lab.statuses)

    assert listed["result"]["channels"] == [IsPartialDict(id=CHANNEL, state="ok")]
    assert paused["result"]["state"] == "paused"
    assert resumed["result"]["state"] == "ok"
    assert client.lab.provider.texts == ["later"]


async def test_capabilities_are_told(client: Client) -> None:
    answer = await client.ask("channel.capabilities", channel=CHANNEL)

    assert answer["result"] == IsPartialDict(parts=["text", "location"])


async def test_a_channel_can_be_verified_with_its_provider(client: Client) -> None:
    answer = await client.ask("channel.verify", channel=CHANNEL)
    client.lab.provider.script.append({"status": 401})
    wrong = await client.ask("channel.verify", channel=CHANNEL)

    assert answer["result"] == IsPartialDict(channel=CHANNEL, ok=True, provider=IsPartialDict(id="p1"))
    assert wrong["result"] == IsPartialDict(channel=CHANNEL, ok=False)
    assert wrong["result"]["checks"][0] == IsPartialDict(name="credentials", ok=False, hint=IsStr())


async def test_a_refused_configuration_is_answered_with_its_problems(client: Client) -> None:
    client.control.problems = [Problem(file="a.toml", path="channels.x", message="unknown kind")]

    error = (await client.ask("channel.reload"))["error"]

    assert error["code"] == -32002
    assert error["data"]["problems"] == ["a.toml: channels.x: unknown kind"]


async def test_a_fault_of_the_gateway_is_answered_without_its_details(client: Client) -> None:
    client.control.fault = RuntimeError("secret detail")

    error = (await client.ask("channel.reload"))["error"]

    assert error["code"] == -32603
    assert "secret detail" not in str(error)


async def test_an_answer_that_does_not_come_in_time_says_what_to_do(client: Client) -> None:
    client.lab.provider.hold.clear()

    error = (await client.ask("message.send", channel=CHANNEL, to="anna", text="hello"))["error"]

    assert error["code"] == -32012
    assert "idempotency_key" in error["message"]


async def test_the_quarantine_is_listed_redriven_and_discarded(client: Client) -> None:
    assert len((await client.ask("quarantine.list"))["result"]) == 2
    assert (await client.ask("quarantine.redrive", ids=[1]))["result"] == {"redriven": 1}
    assert (await client.ask("quarantine.discard", ids=[1]))["result"] == {"discarded": 1}
    assert len((await client.ask("quarantine.list"))["result"]) == 1


async def test_everything_is_discarded_only_when_said_so(client: Client) -> None:
    assert (await client.ask("quarantine.discard"))["error"]["code"] == -32602


async def test_calls_that_change_something_leave_an_audit_line_without_their_params(client: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.ask("message.send", channel=CHANNEL, to="anna", text="very private")
        await client.ask("channel.pause", channel="nope")
        await client.ask("channel.list")

    calls = [line for line in lines if line["event"] == "admin_call"]
    assert [(call["method"], call["outcome"]) for call in calls] == [
        ("message.send", "ok"),
        ("channel.pause", "channel_unknown"),
    ]
    assert calls[0]["remote"] == "127.0.0.1"
    assert "very private" not in str(lines)
    assert TOKEN not in str(lines)


async def test_the_console_shows_numbers_and_states_and_escapes_everything(client: Client) -> None:
    client.control.state, client.control.error = "down", "<b>OSError</b>: cannot reach anna@shop.example"

    status, html, headers = await client.get("/")

    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert CHANNEL in html
    assert "balanced" in html
    assert "gw-&lt;1&gt;" in html
    assert "&lt;b&gt;OSError" in html
    assert "anna@" not in html
    assert "http" not in html.replace("http-equiv", "")


async def test_the_broker_answers_the_same_requests(client: Client) -> None:
    broker = client.lab.broker
    ping = await broker.call(
        "v1._.gateway.ping", b'{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}', method="gateway.ping", timeout=5
    )
    through_channel = await client.lab.call("channel.get")
    wrong = await broker.call("v1._.x", b"{", method="x", timeout=5)

    assert b'"ready":true' in ping
    assert through_channel["result"]["id"] == CHANNEL
    assert b"-32700" in wrong


async def test_a_message_sent_to_the_gateway_itself_is_passed_on_to_its_channel(client: Client) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"message.send","params":{"channel":"shop","to":"anna","text":"hi"}}'

    answer = await client.lab.broker.call("v1._.message.send", body, method="message.send", timeout=5)
    unknown = await client.lab.broker.call(
        "v1._.message.send", body.replace(b'"shop"', b'"nope"'), method="message.send", timeout=5
    )

    assert b'"status":"sent"' in answer
    assert b"-32001" in unknown


def test_without_a_configured_token_a_random_one_is_kept_for_the_owner_only(tmp_path: Path) -> None:
    token = admin_token(AdminSection(), tmp_path)

    assert len(token) >= 32
    assert admin_token(AdminSection(), tmp_path) == token
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert admin_token(AdminSection(token=Secret("mine")), tmp_path) == "mine"
