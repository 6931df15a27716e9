"""A RabbitMQ server of our own, with its own Erlang port mapper."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from pathlib import Path

from tests.servers.process import Process, free_port, listening, missing, require

_SERVER_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's `/usr/sbin/rabbitmq-server` changes to the user `rabbitmq`; the script behind it runs as anybody."""


class RabbitServer:
    """One broker node on free loopback ports, everything it writes in one folder, the port mapper included."""

    user = "guest"
    password = "guest"

    def __init__(self, folder: Path) -> None:
        """Prepare it in `folder`; `start` starts it."""
        self._binary = str(_SERVER_SCRIPT) if _SERVER_SCRIPT.exists() else require("rabbitmq-server", "rabbitmq-server")
        self._epmd_binary = require("epmd", "rabbitmq-server")
        self._erl_call = require("erl_call", "erlang-base")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._epmd: Process | None = None
        self._process: Process | None = None
        self._choose_ports()

    @property
    def url(self) -> str:
        """URL of the default virtual host; tests rather use the fixture `rabbit_url`."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """URL of a virtual host."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/{vhost.replace('/', '%2F')}"

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine."""
        return self._running().pid

    def start(self) -> RabbitServer:
        """Start it, with the queues it had, and wait until it is fully booted (about 5 s)."""
        if self._process is not None and self._process.returncode is None:
            return self
        first = self._process is None
        try:
            self._boot()
        except RuntimeError as error:
            if not first or "eaddrinuse" not in str(error):
                raise
            self.stop()  # another program took a port meanwhile, and nobody knows ours yet
            self._choose_ports()
            self._boot()
        return self

    restart = start

    def _boot(self) -> None:
        if self._epmd is None or self._epmd.returncode is not None:
            self._epmd = Process([self._epmd_binary], env=self._env, log=self.folder / "epmd.log")
            self._epmd.wait_until(lambda: listening(self._epmd_port), timeout=20, what="epmd")
        self._process = Process([self._binary], env=self._env, log=self.folder / "rabbit.log", cwd=self.folder)
        self._process.wait_until(self._booted, timeout=90, what=f"rabbitmq-server on port {self.port}")

    def kill(self) -> None:
        """SIGKILL, as in a crash; queues on disk stay for `start`."""
        self._running().kill()

    def stop(self) -> None:
        """End it and its port mapper for good; does nothing when it is not running."""
        for process in (self._process, self._epmd):
            if process is not None:
                process.resume()
                process.kill()

    def pause(self) -> None:
        """Keep connections open and answer nothing until `resume`."""
        self._running().pause()

    def resume(self) -> None:
        """End `pause`."""
        self._running().resume()

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return its output; takes about a second, `evaluate` takes milliseconds."""
        program = Path(self._binary).with_name("rabbitmqctl")
        argv = [str(program), "--quiet", "--node", self.node, *arguments]
        done = subprocess.run(argv, env=self._env, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def evaluate(self, erlang: str) -> str:
        """Evaluate one Erlang expression in the node and return the printed term; raises `RuntimeError`."""
        argv = [self._erl_call, "-sname", self.node, "-c", self._env["RABBITMQ_ERLANG_COOKIE"], "-timeout", "30", "-e"]
        done = subprocess.run(
            argv, input=f"{erlang}.\n", env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        answer = re.fullmatch(r"\{ok, (.*)\}\s*", done.stdout, re.DOTALL)
        if done.returncode or answer is None:
            raise RuntimeError(f"{erlang}: {done.stdout}{done.stderr}")
        return answer[1]

    def set_alarm(self, on: bool) -> None:  # noqa: FBT001 -- reads as a switch
        """Raise or clear the memory alarm, which makes the broker stop reading from publishers."""
        watermark = "0.00000001" if on else "0.6"
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({watermark})")
        self._running().wait_until(
            lambda: self.evaluate("rabbit_alarm:get_alarms() =/= []") == str(on).lower(),
            timeout=15,
            what=f"memory alarm {'on' if on else 'off'}",
        )

    def settle(self) -> None:
        """Write the registrations of queues to disk, which the broker does on its own within a second or so.

        Call it between declaring a quorum queue and `kill`. RabbitMQ 3.10 confirms messages of a new queue before
        the queue's registration (`names.dets`) is on disk; after a crash in that time the queue comes back empty.
        """
        self.evaluate("lists:foreach(fun dets:sync/1, dets:all())")

    def add_vhost(self, name: str) -> str:
        """Create a virtual host and return its URL."""
        self.evaluate(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),'
            f'rabbit_auth_backend_internal:set_permissions(<<"{self.user}">>, <<"{name}">>,'
            ' <<".*">>, <<".*">>, <<".*">>, <<"tests">>)'
        )
        return self.url_of(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it, closing its connections."""
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    def queue_length(self, vhost: str, queue: str) -> int:
        """Return how many messages the queue holds, delivered but unacknowledged ones included."""
        return int(self.evaluate(f"{_lookup(vhost, queue)}, {{ok, N, _}} = rabbit_amqqueue:stat(Q), N"))

    def purge(self, vhost: str, queue: str) -> None:
        """Empty a queue."""
        self.evaluate(f"{_lookup(vhost, queue)}, {{ok, _}} = rabbit_amqqueue:purge(Q)")

    def close_connections(self) -> None:
        """Close all client connections from the broker's side ("an operator did it")."""
        self.evaluate('[rabbit_networking:close_connection(P, "by the test") || P <- rabbit_networking:connections()]')

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the RabbitMQ server was not started")
        return self._process

    def _booted(self) -> bool:
        if not listening(self.port):
            return False
        try:
            return self.evaluate("rabbit:is_running() andalso rabbit:is_booted(node())") == "true"
        except RuntimeError:
            return False

    def _choose_ports(self) -> None:
        self.port, self._epmd_port, self._dist_port = free_port(), free_port(), free_port()
        self.node = f"og{self.port}@localhost"
        self._env = self._environment()
        self._write_files()

    def _environment(self) -> dict[str, str]:
        cookie = secrets.token_hex(10)
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return os.environ | {
            "HOME": str(self.folder),
            "detached": "1",  # the start script then becomes the Erlang machine instead of watching it as a child
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_ERLANG_COOKIE": cookie,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} -setcookie {cookie}",
            "RABBITMQ_CTL_ERL_ARGS": f"-setcookie {cookie}",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_PID_FILE": str(self.folder / "rabbit.pid"),
        }

    def _write_files(self) -> None:
        (self.folder / "enabled_plugins").write_text("[].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self._env["RABBITMQ_ERLANG_COOKIE"])
        cookie.chmod(0o400)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "loopback_users.guest = true\n"
            "log.console.level = warning\n"
            "vm_memory_high_watermark.relative = 0.6\n"
            "disk_free_limit.absolute = 50MB\n"  # the test machine's disk is not what is tested
        )
        if not _SERVER_SCRIPT.exists() and os.geteuid() == 0:
            missing(f"{_SERVER_SCRIPT} is missing: another packaging than Debian's; run the tests as a normal user")


def _lookup(vhost: str, queue: str) -> str:
    return f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>))'
