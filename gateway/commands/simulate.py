"""`omnigate simulate`: signed provider traffic against a running gateway.

The commands of the webhook kinds are made when they are asked for (`gateway.commands.simulate_kind`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.commands.console import Config, Failure
from gateway.commands.target import choose, reachable
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate import email as mail
from gateway.simulate import registry
from gateway.simulate.registry import WORDS

Flag = Annotated[bool, Parameter(negative=())]
HELP = "Signed provider traffic against a running gateway, and providers to send to."
EXAMPLES = """\
The channel must be configured: its secrets are what deliveries are signed
with. "omnigate simulate KIND --help" tells what a provider can do.

    omnigate simulate telegram --text "Where is my parcel?" --duplicates 1
    omnigate simulate whatsapp --count 5000 --batch 20 --rate 500 --reorder
    omnigate simulate wechat --handshake
    omnigate simulate cloud whatsapp --listen 127.0.0.1:9000 --fail 429:0.1
"""
CLOUD = "A provider's API on this machine: takes what the gateway sends, answers as the provider does."

app = App(name="simulate", help=HELP, help_epilogue=EXAMPLES, help_format="plaintext")
app.command("gateway.commands.simulate_cloud:cloud", name="cloud", help=CLOUD)
for kind in registry.kinds():
    app.command(f"gateway.commands.simulate_kind:{kind}", name=kind, help=WORDS[kind])


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
