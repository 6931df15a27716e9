"""A Dovecot of our own: a real IMAP server, with mailboxes as Maildir folders that tests can write into."""

from __future__ import annotations

import imaplib
import os
import pwd
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.servers.process import Process, free_port, require, wait_until

USER, PASSWORD = "support@shop.example", 'an-imap password"with\\signs-ü'
_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
{users}
first_valid_uid = 1
auth_mechanisms = plain login {mechanisms}
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_fsync = never
maildir_stat_dirs = yes
{tls}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
{oauth}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u
}}
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  {chroot}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  {chroot}
}}
{extra}
"""
_OAUTH = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
"""


class Stored(NamedTuple):
    """A mail as it lies in the mailbox."""

    uid: int
    flags: frozenset[str]
    body: bytes


class Dovecot:
    """`dovecot` on free loopback ports, as root (with its own system users) or as anybody else."""

    def __init__(
        self,
        *,
        certificate: tuple[Path, Path] | None = None,
        introspection_url: str | None = None,
        capabilities: str | None = None,
        extra: str = "",
    ) -> None:
        """Prepare it.

        Args:
            certificate: PEM files with the chain and the key; without them there is no TLS.
            introspection_url: tells whether an access token is good; the token is appended.
            capabilities: what to announce instead of all it can.
            extra: further lines of its configuration.
        """
        self._binary = require("dovecot", "dovecot-core")
        require("/usr/lib/dovecot/imap", "dovecot-imapd")
        self.folder = Path(tempfile.mkdtemp(prefix="omnigate-dovecot-"))
        self.folder.chmod(0o755)  # its login processes run as another user, if we are root
        root = os.geteuid() == 0
        self._owner = pwd.getpwnam("dovecot") if root else pwd.getpwuid(os.geteuid())
        self.port, self.tls_port = free_port(), free_port()
        self._process: Process | None = None
        self._written = 0
        name = self._owner.pw_name
        users = "" if root else f"default_internal_user = {name}\ndefault_login_user = {name}\n"
        if not root:
            group = Path(f"/proc/{os.getpid()}").group()
            users += f"default_internal_group = {group}"
        tls = "ssl = no"
        if certificate is not None:
            chain, key = (shutil.copy(one, self.folder) for one in certificate)
            tls = f"ssl = yes\nssl_cert = <{chain}\nssl_key = <{key}"
        if capabilities is not None:
            extra += f"\nprotocol imap {{\n  imap_capability = {capabilities}\n}}\n"
        if introspection_url is not None:
            lines = ["introspection_mode = get", f"introspection_url = {introspection_url}"]
            lines += ["username_attribute = email", "active_attribute = active", "active_value = true"]
            lines += ["force_introspection = yes"]
            (self.folder / "oauth2.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=self.folder,
                users=users,
                mechanisms="xoauth2 oauthbearer" if introspection_url else "",
                tls=tls,
                oauth=_OAUTH.format(folder=self.folder) if introspection_url else "",
                uid=self._owner.pw_uid,
                gid=self._owner.pw_gid,
                chroot="" if root else "chroot =",
                port=self.port,
                tls_port=self.tls_port if certificate else 0,
                extra=extra,
            )
        )
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        for one in ("mail", "home", "run", "state"):
            self._mkdir(self.folder / one)

    def start(self) -> Dovecot:
        """Start it and wait until it greets."""
        argv = [self._binary, "-F", "-c", str(self.folder / "dovecot.conf")]
        self._process = Process(argv, log=self.folder / "output.log")
        self._process.wait_until(self._greets, timeout=20, what=f"dovecot on port {self.port}")
        return self

    def kill(self) -> None:
        """SIGKILL it with all its processes; the mailboxes stay."""
        self._running().kill()

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End it for good."""
        if self._process is not None:
            self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Return what it logged."""
        return (self.folder / "dovecot.log").read_text(errors="replace")

    def logged(self, words: str) -> bool:
        """Wait until it has logged `words`, which it does a moment after it happened; false if it never does."""
        with suppress(TimeoutError):
            wait_until(lambda: words in self.log(), timeout=20, what=words)
        return words in self.log()

    def add(self, *mails: bytes, folder: str = "INBOX", user: str = USER) -> None:
        """Deliver mails, as a mail server does; it may be running or not."""
        box = self._box(user, folder)
        for mail in mails:
            self._written += 1
            name = f"{1_700_000_000 + self._written}.M{self._written}P1.tests"
            path = box / "tmp" / name
            path.write_bytes(mail)
            self._own(path)
            path.rename(box / "new" / name)

    def rebuild(self, validity: int, *, folder: str = "INBOX", user: str = USER) -> None:
        """Give the folder another UIDVALIDITY and new UIDs, as after a restored backup; restarts the server."""
        self.kill()
        box = self._box(user, folder)
        for path in box.glob("dovecot.*"):
            path.unlink()
        uidlist = box / "dovecot-uidlist"
        uidlist.write_text(f"3 V{validity} N1 G{validity:032x}\n")
        self._own(uidlist)
        self.start()

    def stored(self, folder: str = "INBOX", user: str = USER) -> list[Stored]:
        """Look into a folder without changing it; empty when there is none."""
        with self.client(user) as client:
            if client.select(_imap_name(folder), readonly=True)[0] != "OK":
                return []
            found = []
            for uid in client.uid("SEARCH", "ALL")[1][0].split():
                answer = client.uid("FETCH", uid, "(FLAGS BODY.PEEK[])")[1]
                flags = next(re.search(rb"FLAGS \(([^)]*)\)", b" ".join(_bytes(one))) for one in [answer])
                body = next(one[1] for one in answer if isinstance(one, tuple))
                found.append(Stored(int(uid), frozenset(flags[1].decode().split()) if flags else frozenset(), body))
            return found

    def uids(self, folder: str = "INBOX", user: str = USER) -> dict[int, int]:
        """Tell which UID the server gave to which mail: UID → its place among all that were added, from 0."""
        self.count(folder, user)  # makes the server look
        lines = (self._box(user, folder) / "dovecot-uidlist").read_text().splitlines()[1:]
        pairs = (re.match(r"(\d+) .*:\d+\.M(\d+)P", line) for line in lines)
        return {int(pair[1]): int(pair[2]) - 1 for pair in pairs if pair}

    def count(self, folder: str = "INBOX", user: str = USER) -> int:
        """Count the mails of a folder."""
        with self.client(user) as client:
            status, answer = client.select(_imap_name(folder), readonly=True)
            return int(answer[0]) if status == "OK" else 0

    @contextmanager
    def client(self, user: str = USER) -> Iterator[imaplib.IMAP4]:
        """Log in as a person does."""
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=20)
        try:
            client.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
            yield client
        finally:
            client.shutdown()

    def _box(self, user: str, folder: str) -> Path:
        base = self.folder / "mail" / user
        box = base if folder == "INBOX" else base / f".{_imap_name(folder).strip(chr(34))}"
        for one in (base, box, *(box / name for name in ("cur", "new", "tmp"))):
            if not one.exists():
                self._mkdir(one)
        return box

    def _mkdir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._own(path)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("Dovecot was not started")
        return self._process

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(64).startswith(b"* OK")
        except OSError:
            return False


def _imap_name(folder: str) -> str:
    """Modified UTF-7 by another way than the connector's: Python's UTF-7 codec."""
    pieces = re.split(r"([^\x00-\x7f]+)", folder.replace("&", "&-"))
    shifted = (one if one.isascii() else _shifted(one) for one in pieces)
    encoded = "".join(shifted)
    return f'"{encoded}"'


def _shifted(text: str) -> str:
    return "&" + text.encode("utf-7").decode()[1:].rstrip("-").replace("/", ",") + "-"


def _bytes(answer: Iterable[object]) -> list[bytes]:
    found: list[bytes] = []
    for one in answer:
        if isinstance(one, tuple):
            found.append(one[0])
        elif isinstance(one, bytes):
            found.append(one)
    return found
