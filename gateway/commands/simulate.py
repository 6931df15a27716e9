"""`omnigate simulate`: signed provider traffic against a running gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.commands.console import Config, Failure
from gateway.commands.target import choose, reachable, secret_of, web_url
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate import email as mail
from gateway.simulate import telegram as provider

Flag = Annotated[bool, Parameter(negative=())]

app = App(name="simulate", help="Signed provider traffic against a running gateway.", help_format="plaintext")


@app.command
def telegram(
    *,
    config: Config = None,
    url: str | None = None,
    channel: str | None = None,
    count: int = 1,
    text: str = "Hello from the simulator",
    kind: provider.Kind = "text",
    chats: int = 1,
    first: int | None = None,
    rate: float = 0.0,
    connections: int = provider.CONNECTIONS,
    duplicates: int = 0,
    reorder: Flag = False,
    malformed: Flag = False,
    retry: bool = True,
) -> int:
    """Send signed Telegram updates to a running gateway, again until they are accepted.

    Args:
        config: the configuration; it knows the secret.
        url: where the gateway listens, such as http://127.0.0.1:8080; by default as configured.
        channel: id of the Telegram channel; not needed when there is only one.
        count: how many updates.
        text: text of the messages; {n} becomes the number of the update.
        kind: what happens in each update.
        chats: how many persons write, in turn.
        first: number of the first update; the same number makes the same updates again.
        rate: updates per second; 0 is as fast as it goes.
        connections: requests at the same time.
        duplicates: how often each update is sent again although it was accepted.
        reorder: let neighbouring updates change places.
        malformed: add an unreadable body for every ten updates.
        retry: send again after anything but 2xx, as Telegram does.
    """
    given = _rest(locals(), "config", "url", "channel")
    settings = load(find(config)).settings
    chosen = choose(settings, "telegram", channel)
    return provider.command(url=url or web_url(settings), channel=chosen.id, secret=secret_of(chosen), **given)


@app.command
def email(
    *,
    config: Config = None,
    listen: str | None = None,
    channel: str | None = None,
    to: str | None = None,
    sender: Annotated[str, Parameter(name=["--from", "--sender"])] = "Simulated Customer <customer@simulator.example>",
    subject: str = "Hello from the simulator",
    text: str = "Hello from the simulator",
    html: str | None = None,
    attach: tuple[Path, ...] = (),
    message_id: str | None = None,
    reply_to: str | None = None,
    file: Path | None = None,
    count: int = 1,
    duplicates: int = 0,
    malformed: Flag = False,
    starttls: Flag = False,
    retry: bool = True,
) -> int:
    """Send mails to a running gateway, again where it asks for it.

    Args:
        config: the configuration.
        listen: where the gateway takes mail, such as 127.0.0.1:2525; by default as configured.
        channel: id of the channel; not needed when there is only one of kind email.
        to: the recipient; by default an address of the channel.
        sender: who writes; its address is the envelope sender, too.
        subject: of each mail; {n} becomes its number.
        text: of each mail; {n} becomes its number.
        html: the same as HTML.
        attach: files to attach.
        message_id: of the mail; the same id is the same mail. By default every mail has an id of its own.
        reply_to: Message-ID of the mail that is answered.
        file: a mail to send as it is, instead of the options above.
        count: how many mails.
        duplicates: how often each mail is sent again although it was accepted.
        malformed: add a mail that is hardly one.
        starttls: encrypt the connection.
        retry: send again after 4xx and lost connections, as mail servers do.
    """
    given = _rest(locals(), "config", "listen", "channel", "to")
    options: Any = choose(load(find(config)).settings, "email", channel).options
    if options.smtp is None and listen is None:
        raise Failure("the channel takes no mail by SMTP; name a server with --listen")
    where = listen or reachable(options.smtp.listen, "--listen")
    return mail.command(listen=where, to=to or options.addresses[0].replace("*", "support"), **given)


def _rest(options: dict[str, Any], *without: str) -> dict[str, Any]:
    """Return the options that the simulator itself takes."""
    return {name: value for name, value in options.items() if name not in without}
