"""The gateway as its users run it: the command `omnigate run` in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers.process import Process, free_port, open_ports, wait_until

_COMMAND = str(Path(sys.executable).with_name("omnigate"))
_LISTEN = re.compile(r'listen(?:_tls)?\s*=\s*"127\.0\.0\.1:(\d+)"')
_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$")
TELEGRAM_SECRET = "a-secret-token-of-the-tests"
ADMIN_TOKEN = "an-admin-token-of-the-tests"


class GatewayProcess:
    """`omnigate run` with a generated configuration, a data folder and free ports of its own.

    It has one Telegram channel, `tg`, and whatever `channels` adds. `restart` keeps ports, data and configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        broker: str = "embedded:",
        dedup: str = "embedded:",
        queues: Sequence[tuple[str, str]] = (("helpdesk", "v1.#"),),
        channels: str = "",
        telegram: str = "",
        sections: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Write the configuration.

        Args:
            folder: created; holds `omnigate.toml`, `channels/`, `var/` and `gateway.log`.
            workers: accept processes.
            broker, dedup: URLs.
            queues: names and binding keys, declared by the gateway.
            channels: TOML of further channels.
            telegram: further options of the channel `tg`, as TOML lines.
            sections: further lines of `gateway`, `http`, `admin`, `broker`, `dedup`, `log` and `asr`, as TOML.
            env: further environment.
        """
        self.folder = folder
        self.workers = workers
        self.http_port, self.admin_port = free_port(), free_port()
        self.config = folder / "omnigate.toml"
        self.data_dir = folder / "var"
        (folder / "channels").mkdir(parents=True)
        if "api_base" not in telegram:  # a photo must not make the gateway look for Telegram itself
            telegram += 'api_base = "http://127.0.0.1:9"\n'
        self.config.write_text(self._toml(broker, dedup, queues, telegram + channels, sections or {}))
        self.env = os.environ | _environment() | dict(env or {})
        """What it and its commands run with: the secrets that the configuration refers to."""
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where providers deliver, without trailing slash."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def admin_url(self) -> str:
        """The admin port, without trailing slash."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def pid(self) -> int:
        """Process id of the parent of the workers."""
        return self._running().pid

    def start(self, timeout: float = 30) -> GatewayProcess:
        """Start it and wait until `/readyz` says 200, and a moment for its channels to open their ports."""
        self._process = self.launch()
        self._process.wait_until(self.ready, timeout=timeout, what="gateway ready")
        ports = {int(port) for port in _LISTEN.findall(self.config.read_text())}
        with suppress(TimeoutError):  # of a channel that cannot: its test looks at that itself
            wait_until(lambda: ports <= open_ports(), timeout=5, what="the channels listen")
        return self

    restart = start

    def launch(self) -> Process:
        """Start it without waiting, for tests of what happens before it is ready."""
        argv = [_COMMAND, "run", "--config", str(self.config)]
        if self.workers > 1:
            argv += ["--workers", str(self.workers)]
        self._process = Process(argv, env=self.env, log=self.folder / "gateway.log", cwd=self.folder)
        return self._process

    def kill9(self) -> None:
        """SIGKILL, parent and workers, as in a power cut of the process."""
        self._running().kill()

    def term(self, timeout: float = 30) -> int:
        """SIGTERM and wait; return the exit code (0: drained)."""
        return self._running().terminate(timeout)

    def reload(self) -> None:
        """SIGHUP."""
        self._running().signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it at once; does nothing when it is not running."""
        if self._process is not None:
            self._process.kill()

    def ready(self) -> bool:
        """Tell whether `/readyz` says 200."""
        return self.get("/readyz")[0] == 200

    def logs(self) -> str:
        """Return everything it ever wrote to stdout and stderr, over restarts."""
        return (self.folder / "gateway.log").read_text(errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        """GET on the admin port: status and body; status 0 when nobody answers."""
        return _request(urllib.request.Request(self.admin_url + path, headers=_bearer()))

    def metrics(self) -> dict[str, float]:
        """Scrape `/metrics`: each sample under its full name, ``name{label="value",…}``."""
        status, text = self.get("/metrics")
        if status != 200:
            raise RuntimeError(f"/metrics answered {status}")
        return dict(_samples(text.decode()))

    def total(self, name: str, **labels: str) -> float:
        """Sum the samples of a metric that carry these labels."""
        return _total(self.metrics(), name, labels)

    def books(self, **labels: str) -> tuple[float, dict[str, float]]:
        """Return what was received and what became of it, of one scrape: both sides must be equal."""
        metrics = self.metrics()
        names = ("published", "duplicate", "ignored", "quarantined")
        rows = {name: _total(metrics, f"gateway_{name}_messages_total", labels) for name in names}
        rows["spooled"] = _total(metrics, "gateway_spooled_messages", labels)
        return _total(metrics, "gateway_received_messages_total", labels), rows

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Call a JSON-RPC method over the admin API and return the whole answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode()
        headers = {**_bearer(), "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.admin_url}/api", body, headers)
        status, answer = _request(request)
        return json.loads(answer) if answer else {"status": status}

    def cli(self, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run another `omnigate` command with the same configuration and environment."""
        command = [_COMMAND, *arguments, "--config", str(self.config)]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False, timeout=timeout
        )

    def follow(self, out: Path) -> Process:
        """Start `omnigate tail` from the beginning, into a file; the caller ends it."""
        command = [_COMMAND, "tail", "--from-start", "--config", str(self.config)]
        return Process(command, env=self.env, log=out, cwd=self.folder)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """POST to the webhook port: status and body; status 0 when the connection failed."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return _request(urllib.request.Request(self.url + path, body, headers))

    def post_update(self, update: Mapping[str, Any], channel: str = "tg") -> int:
        """Deliver a Telegram update with the right secret; return the status."""
        body = json.dumps(update).encode()
        return self.post(f"/c/{channel}", body, telegram_headers())[0]

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the gateway was not started")
        return self._process

    def _toml(
        self, broker: str, dedup: str, queues: Sequence[tuple[str, str]], channels: str, sections: Mapping[str, str]
    ) -> str:
        declared = ", ".join(f'{{ name = "{name}", bind = ["{key}"] }}' for name, key in queues)
        lines = {
            "gateway": f'node = "test"\ndata_dir = "{self.data_dir}"',
            "http": f'listen = "127.0.0.1:{self.http_port}"',
            "admin": f'listen = "127.0.0.1:{self.admin_port}"\ntoken = "env:OMNIGATE_ADMIN_TOKEN"',
            "broker": f'url = "{broker}"\nqueues = [{declared}]',
            "dedup": f'url = "{dedup}"',
            "log": 'format = "json"',
            "asr": "",
        }
        tables = (f"[{name}]\n{text}\n{sections.get(name, '')}\n" for name, text in lines.items())
        return 'include = ["channels/*.toml"]\n' + "".join(tables) + _TELEGRAM + channels


_TELEGRAM = """
[channels.tg]
kind = "telegram"
token = "env:TELEGRAM_TOKEN"
secret = "env:TELEGRAM_SECRET"
"""


def telegram_update(number: int, text: str = "hello", chat: int | None = None) -> dict[str, Any]:
    """Build a text message as the Bot API delivers it; `number` makes update and message unique."""
    person = {"id": chat or 1000 + number % 50, "first_name": "Ada", "username": "ada"}
    return {
        "update_id": 900_000_000 + number,
        "message": {
            "message_id": number,
            "from": {**person, "is_bot": False, "language_code": "en"},
            "chat": {**person, "type": "private"},
            "date": 1_790_000_000 + number // 1000,
            "text": text,
        },
    }


def telegram_headers() -> dict[str, str]:
    """Headers of a genuine Telegram delivery."""
    return {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRET}


def _environment() -> dict[str, str]:
    return {
        "TELEGRAM_TOKEN": "1:a-bot-token-of-the-tests",
        "TELEGRAM_SECRET": TELEGRAM_SECRET,
        "OMNIGATE_ADMIN_TOKEN": ADMIN_TOKEN,
        "PYTHONUNBUFFERED": "1",
    }


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def _request(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def _total(metrics: Mapping[str, float], name: str, labels: Mapping[str, str]) -> float:
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(
        value
        for key, value in metrics.items()
        if key.partition("{")[0] == name and all(label in key for label in wanted)
    )


def _samples(text: str) -> list[tuple[str, float]]:
    found = (_SAMPLE.match(line) for line in text.splitlines())
    return [
        (match["name"] + (f"{{{match['labels']}}}" if match["labels"] else ""), float(match["value"]))
        for match in found
        if match
    ]
