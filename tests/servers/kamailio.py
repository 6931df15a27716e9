"""Kamailio: a registrar with passwords as a PBX has them, and the dispatcher of `docker/kamailio` as it is shipped."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.process import Process, free_port, listening, require

REALM = "pbx.example"
USERS = {"1001": "a line's password", "1002": "another", "1003": "a third"}
SHIPPED = Path(__file__).parents[2] / "docker" / "kamailio" / "kamailio.cfg"
_REGISTRAR = """#!KAMAILIO
debug=2
log_stderror=yes
children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{rpc}
{tls}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "jsonrpcs.so"
loadmodule "xhttp.so"
{tls_module}
tcp_accept_no_cl=yes
modparam("jsonrpcs", "transport", 1)
modparam("auth", "nonce_expire", 5)
modparam("registrar", "min_expires", 2)
modparam("registrar", "max_expires", {expires})
modparam("usrloc", "timer_interval", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (loose_route() || t_check_trans()) t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER|INVITE") && $fU != "guest") {{
        $var(password) = "";
{passwords}
        if ($var(password) == "" || !pv_auth_check("{realm}", "$var(password)", "0", "0")) {{
            if (is_method("REGISTER")) www_challenge("{realm}", "1");
            else proxy_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();
    }}
    if (is_method("REGISTER")) {{ if (!save("location")) sl_reply_error(); exit; }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    if (!t_relay()) sl_reply_error();
}}

event_route[xhttp:request] {{ jsonrpc_dispatch(); }}
"""


class Kamailio:
    """A Kamailio on loopback ports of its own, that needs no root and writes only into its folder."""

    def __init__(self, folder: Path) -> None:
        """Prepare; `registrar` and `dispatcher` start it."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port, self.rpc_port = free_port(), free_port(), free_port()
        self._process: Process | None = None

    def registrar(self, *, expires: int = 3600, certificate: Path | None = None) -> Kamailio:
        """Be a PBX: lines `USERS` register with digest (RFC 8760's MD5), and are called by their names.

        Args:
            expires: longest registration, in seconds.
            certificate: PEM file with a key and its chain, for TLS.
        """
        lines = (f'        if ($au == "{user}") $var(password) = "{word}";' for user, word in USERS.items())
        config = _REGISTRAR.format(
            port=self.port,
            rpc=self.rpc_port,
            realm=REALM,
            passwords="\n".join(lines),
            expires=expires,
            tls="" if certificate is None else f"enable_tls=yes\nlisten=tls:127.0.0.1:{self.tls_port}",
            tls_module="" if certificate is None else 'loadmodule "tls.so"\n' + _tls(certificate),
        )
        path = self.folder / "registrar.cfg"
        path.write_text(config)
        return self._start(path)

    def dispatcher(self, ports: Sequence[int], *, maxload: int = 4, ping_secs: int = 1) -> Kamailio:
        """Be the balancer of `docker/kamailio` in front of SIP ports on the loopback."""
        rows = (f"1 sip:127.0.0.1:{port} 0 0 duid=p{port};maxload={maxload}\n" for port in ports)
        (self.folder / "dispatcher.list").write_text("".join(rows))
        defined = {
            "LISTEN": f"udp:127.0.0.1:{self.port}",
            "LISTEN_TCP": f"tcp:127.0.0.1:{self.rpc_port}",
            "LIST": f'"{self.folder / "dispatcher.list"}"',
            "PING_SECS": str(ping_secs),
        }
        return self._start(SHIPPED, *(f"{name}={value}" for name, value in defined.items()), "RPC")

    def rpc(self, method: str, *params: object) -> Any:
        """Ask Kamailio itself, as kamcmd does; raises `HTTPError` for an error answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rpc_port}/RPC", body)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())["result"]

    def contacts(self, user: str) -> list[str]:
        """List where a line is registered at the moment."""
        return [one["Contact"]["Address"] for one in self._registered(user)]

    def requests(self, user: str) -> int:
        """Return the CSeq of the last REGISTER of a line; 0 if it is not registered."""
        return max((int(one["Contact"]["CSeq"]) for one in self._registered(user)), default=0)

    def _registered(self, user: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self.rpc("ul.lookup", "location", user)["Contacts"]
        except urllib.error.HTTPError as exc:  # it is no longer, or not yet
            exc.close()
            return []
        return found

    def destinations(self) -> dict[str, str]:
        """Return the state of the dispatcher's ports: URI → flags; the first is A(ctive), I(nactive) or T(rying)."""
        sets = self.rpc("dispatcher.list")["RECORDS"]
        return {dest["DEST"]["URI"]: dest["DEST"]["FLAGS"] for one in sets for dest in one["SET"]["TARGETS"]}

    def load(self) -> int:
        """Count the calls that the dispatcher thinks are going on."""
        sets = self.rpc("dispatcher.list")["RECORDS"]
        return sum(dest["DEST"]["RUNTIME"]["DLGLOAD"] for one in sets for dest in one["SET"]["TARGETS"])

    def output(self) -> str:
        """Return what it logged."""
        return "" if self._process is None else self._process.output()

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        if self._process is None:
            raise RuntimeError("Kamailio was not started")
        return self._process.pid

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    def _start(self, config: Path, *defined: str) -> Kamailio:
        argv = [require("kamailio", "kamailio"), "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4"]
        argv += ["-Y", str(self.folder), "-w", str(self.folder)]
        argv += [part for one in defined for part in ("-A", one)]
        self._process = Process(argv, log=self.folder / "kamailio.log", cwd=self.folder)
        self._process.wait_until(lambda: listening(self.rpc_port), timeout=20, what="kamailio")
        return self


def _tls(certificate: Path) -> str:
    return (
        'modparam("tls", "tls_method", "TLSv1.2+")\n'
        f'modparam("tls", "certificate", "{certificate}")\nmodparam("tls", "private_key", "{certificate}")\n'
    )
