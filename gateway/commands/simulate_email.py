"""`omnigate simulate email`: mails to a running gateway, as customers' mail servers bring them."""

from __future__ import annotations

import asyncio
import sys
from textwrap import fill
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.commands.console import Config, Failure
from gateway.commands.target import choose, reachable
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate.email import Flag, Unreadable, Written, expected, mails
from gateway.simulate.email_kinds import KINDS
from gateway.simulate.email_post import MailReport, Pace, Server, deliver
from gateway.simulate.report import Bar, summarize

SORTS = fill(", ".join(KINDS), 70, break_on_hyphens=False)
EPILOGUE = f"""\
Sorts of mails (--kind):
{SORTS}, and "all", each in turn.

Without --listen the mails go where the channel listens. Some things to try:

    omnigate simulate email --text "Where is my parcel?" --attach invoice.pdf
    omnigate simulate email --kind html --count 1000 --rate 50 --connections 4
    omnigate simulate email --count 100 --duplicates 1 --size 1000000
    omnigate simulate email --kind all
    omnigate simulate email --eml spool/ --to support@shop.example

A whole conversation, with a mail server that prints what it is given:

    python -m aiosmtpd -n -l 127.0.0.1:1025      # outgoing = {{ port = 1025 … }}
    omnigate simulate email                      # the customer asks
    omnigate send --channel mail --conversation cnv_… --text "It is on its way"
    omnigate simulate email --reply-to ID --quote "It is on its way"
    omnigate simulate email --kind bounce --reply-to ID

ID is the provider_ids of `omnigate send`: answers and reports find their
message by it.
"""

Spread = Parameter(name="*")
USUAL, AT_ONCE = Written(), Pace()

app = App(name="email", help_format="plaintext", help_epilogue=EPILOGUE)


@app.default
def email(
    written: Annotated[Written, Spread] = USUAL,
    pace: Annotated[Pace, Spread] = AT_ONCE,
    *,
    config: Config = None,
    channel: str | None = None,
    listen: str | None = None,
    starttls: Flag = False,
    tls: Flag = False,
    lmtp: Flag = False,
    user: str = "",
    password: str | None = None,
    retry: bool = True,
) -> int:
    """Send mails to a running gateway, as customers' mail servers bring them.

    Args:
        written: what is written.
        pace: how it is sent.
        config: the configuration.
        channel: id of the channel; not needed when there is only one of kind email.
        listen: where to send instead: host:port, or unix:/path; with --to no configuration is needed.
        starttls: encrypt the connection.
        tls: encrypt it from the first byte; to the channel's `listen_tls`.
        lmtp: speak LMTP; to the channel's `lmtp.listen`.
        user: log in with this name of the channel's `users`; needs --starttls or --tls.
        password: of the user, instead of the one the channel knows.
        retry: send again after 4yz and lost connections, as mail servers do.
    """
    problem = written.problem()
    if problem is None and starttls and tls:
        problem = "--starttls and --tls: choose one"
    if problem is not None:
        raise Failure(problem)
    alone = listen is not None and written.to and (not user or password is not None)
    options: Any = None if alone else choose(load(find(config)).settings, "email", channel).options
    server = Server(
        listen=listen or _listen(options, tls=tls, lmtp=lmtp),
        tls="implicit" if tls else "starttls" if starttls else "none",
        lmtp=lmtp or (listen is None and options.smtp is None),
        user=user,
        password=_password(options, user) if user and password is None else password or "",
    )
    to = written.to or _recipients(options)
    return play(server, written, to, pace if retry else Pace(**{**vars(pace), "attempts": 1}))


def play(server: Server, written: Written, to: tuple[str, ...], pace: Pace) -> int:
    """Send what is wanted, show progress, print the report; returns 0 if everything was accepted, else 1."""
    try:
        total = round(expected(written) * (1 + pace.duplicates))
        with Bar(total) as progress:
            report = asyncio.run(deliver(server, mails(written, to), pace, progress=progress))
    except* Unreadable as exc:
        raise Failure(str(exc.exceptions[0])) from None
    return _tell(report)


def _listen(options: Any, *, tls: bool, lmtp: bool) -> str:
    if lmtp or (options.smtp is None and options.lmtp is not None and not tls):
        if options.lmtp is None:
            raise Failure("the channel takes no mail by LMTP; name a server with --listen")
        where: str = options.lmtp.listen
        return where if where.startswith("unix:") else reachable(where, "--listen")
    if options.smtp is None:
        raise Failure("the channel takes no mail by SMTP; send to its mailbox, or name a server with --listen")
    if tls and options.smtp.listen_tls is None:
        raise Failure("the channel has no `smtp.listen_tls`; use --starttls, or name a server with --listen")
    return reachable(options.smtp.listen_tls if tls else options.smtp.listen, "--listen")


def _recipients(options: Any) -> tuple[str, ...]:
    if not options.addresses:
        raise Failure("the channel has no `addresses`; name a recipient with --to")
    return (options.addresses[0].replace("*", "support"),)


def _password(options: Any, user: str) -> str:
    users: Any = options.smtp.users if options is not None and options.smtp is not None else {}
    if user not in users:
        raise Failure(f"--user {user}: the channel's `users` are {', '.join(users) or 'none'}; or give --password")
    found: str = users[user].reveal()
    return found


def _tell(report: MailReport) -> int:
    sys.stdout.write(summarize(report) + "\n")
    for hint in report.hints():
        sys.stderr.write(f"omnigate: {hint}\n")
    return 0 if report.failed == 0 else 1
