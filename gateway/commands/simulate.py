"""`omnigate simulate`: signed provider traffic against a running gateway."""

from __future__ import annotations

from cyclopts import App

from gateway.commands.console import Config
from gateway.commands.target import choose, secret_of, web_url
from gateway.settings.load import load
from gateway.settings.sources import find
from gateway.simulate import telegram as provider

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
    reorder: bool = False,
    malformed: bool = False,
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
    settings = load(find(config)).settings
    chosen = choose(settings, "telegram", channel)
    return provider.command(
        url=url or web_url(settings),
        channel=chosen.id,
        secret=secret_of(chosen),
        count=count,
        text=text,
        kind=kind,
        chats=chats,
        first=first,
        rate=rate,
        connections=connections,
        duplicates=duplicates,
        reorder=reorder,
        malformed=malformed,
        retry=retry,
    )
