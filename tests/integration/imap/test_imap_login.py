"""Logging in at a real Dovecot: passwords, TLS, access tokens."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from connectors.email import EmailChannel, EmailConfig
from connectors.email.imap_config import ImapConfig
from connectors.email.imap_session import login
from connectors.email.oauth import OAuth
from connectors.email.oauth_config import OAuthConfig
from connectors.errors import Misconfigured, Unreachable
from connectors.secrets import Secret
from dedup.embedded import EmbeddedDeduplicator
from normalizer.model import ChannelRef
from tests.contexts import make_context
from tests.integration.imap.helpers import imap, mail, reading
from tests.servers.dovecot import USER, Dovecot
from tests.servers.oauth import CLIENT, CLIENT_SECRET, TokenServer

DAY = 86_400.0


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    async with TokenServer(USER).serve() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def oauth(tokens: TokenServer, **options: Any) -> OAuthConfig:
    base: dict[str, Any] = {"token_url": tokens.url, "client_id": CLIENT, "client_secret": Secret(CLIENT_SECRET)}
    return OAuthConfig(**base | {"refresh_token": Secret("first-refresh-token")} | options)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    files = {name: folder / f"{name}.pem" for name in ("ca", "chain", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    server.private_key_pem.write_to_path(files["key"])
    for part in server.cert_chain_pems:
        part.write_to_path(files["chain"], append=True)
    return files


def over_tls(dovecot: Dovecot, tls: str, ca: Path | None) -> ImapConfig:
    port = dovecot.tls_port if tls == "implicit" else dovecot.port
    return imap(dovecot, host="localhost", port=port, tls=tls, tls_ca=str(ca) if ca else None)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_mail_is_read_over_tls(
    make_dovecot: Callable[..., Dovecot], tmp_path: Path, certificate: dict[str, Path], tls: str
) -> None:
    dovecot = make_dovecot(certificate=(certificate["chain"], certificate["key"]), extra="disable_plaintext_auth = yes")
    dovecot.add(mail(1))
    async with reading(tmp_path, over_tls(dovecot, tls, certificate["ca"])) as post:
        await post.accepted(1)
    assert dovecot.logged("TLS")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_server_with_a_certificate_of_nobodys_gets_no_password(
    make_dovecot: Callable[..., Dovecot], certificate: dict[str, Path], tls: str
) -> None:
    dovecot = make_dovecot(certificate=(certificate["chain"], certificate["key"]))
    with pytest.raises(Unreachable, match="certificate is not accepted"):
        async with login(over_tls(dovecot, tls, None), None):
            pass
    assert "Login:" not in dovecot.log()


async def test_a_server_without_starttls_gets_no_password(dovecot: Dovecot, certificate: dict[str, Path]) -> None:
    with pytest.raises(Misconfigured, match="STARTTLS"):
        async with login(over_tls(dovecot, "starttls", certificate["ca"]), None):
            pass
    assert "Login:" not in dovecot.log()


async def test_a_wrong_password_is_named_and_not_tried_often(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1))
    wrong = imap(dovecot, password=Secret("not-the-password"), retry_secs=300.0)
    async with reading(tmp_path, wrong) as post:
        await post.until(lambda: post.reports)
    component, reason, down, _ = post.reports[0]
    assert (component, down) == ("imap", True)
    assert "does not accept `imap.user` and `imap.password`" in (reason or "")
    assert "not-the-password" not in str(post.reports)
    assert dovecot.logged("auth failed")
    assert dovecot.log().count("auth failed") == 1


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_the_end_of_the_servers_certificate_is_told(
    make_dovecot: Callable[..., Dovecot],
    certificate: dict[str, Path],
    tmp_path: Path,
    http: aiohttp.ClientSession,
    store: EmbeddedDeduplicator,
    tls: str,
) -> None:
    dovecot = make_dovecot(certificate=(certificate["chain"], certificate["key"]))
    context = make_context(ChannelRef(id="m", type="email"), tmp_path, http, store=store)
    told = await EmailChannel(EmailConfig(imap=over_tls(dovecot, tls, certificate["ca"])), context).probe()
    assert datetime.fromisoformat(told["imap"]["certificate_expires_at"]).year >= 2000


async def test_a_folder_that_is_not_there_is_named(dovecot: Dovecot) -> None:
    async with login(imap(dovecot), None) as session:
        with pytest.raises(Misconfigured, match="Rückfragen"):
            await session.open("Rückfragen")


@pytest.mark.parametrize(
    ("options", "ok", "words"),
    [
        ({}, True, "the mailbox can be read"),
        ({"password": Secret("not-the-password")}, False, "does not accept `imap.user` and `imap.password`"),
        ({"folder": "Nowhere"}, False, "Nowhere"),
        ({"port": 9}, False, "127.0.0.1"),
    ],
)
async def test_a_check_says_whether_the_mailbox_can_be_read(
    dovecot: Dovecot,
    tmp_path: Path,
    http: aiohttp.ClientSession,
    store: EmbeddedDeduplicator,
    options: dict[str, Any],
    ok: Any,
    words: str,
) -> None:
    context = make_context(ChannelRef(id="m", type="email"), tmp_path, http, store=store)
    told = await EmailChannel(EmailConfig(imap=imap(dovecot, **options)), context).probe()
    (check,) = told["checks"]
    assert (check.name, check.ok) == ("imap", ok)
    assert words in check.detail
    assert "not-the-password" not in str(told)


async def test_mail_is_read_with_access_tokens(
    make_dovecot: Callable[..., Dovecot], tokens: TokenServer, tmp_path: Path
) -> None:
    dovecot = make_dovecot(introspection_url=tokens.introspection_url)
    dovecot.add(mail(1))
    async with reading(tmp_path, imap(dovecot, oauth=oauth(tokens))) as post:
        await post.accepted(1)
    assert dovecot.logged("method=XOAUTH2")
    assert len(tokens.forms) == 1


async def test_an_access_token_that_was_withdrawn_is_replaced(
    make_dovecot: Callable[..., Dovecot], tokens: TokenServer, tmp_path: Path
) -> None:
    dovecot = make_dovecot(introspection_url=tokens.introspection_url)
    options = imap(dovecot, oauth=oauth(tokens))
    async with reading(tmp_path, options) as post:
        await post.until(lambda: ("imap", None, False, None) in post.reports)
    tokens.access_tokens.clear()
    dovecot.add(mail(1))
    async with reading(tmp_path, options) as post:
        await post.accepted(1)
    assert len(tokens.forms) == 2


async def test_a_refresh_token_that_died_says_what_to_do(
    make_dovecot: Callable[..., Dovecot], tokens: TokenServer, tmp_path: Path
) -> None:
    dovecot = make_dovecot(introspection_url=tokens.introspection_url)
    tokens.refresh_tokens.clear()
    async with reading(tmp_path, imap(dovecot, oauth=oauth(tokens))) as post:
        await post.until(lambda: {one[0] for one in post.reports} == {"imap", "oauth"})
    assert any("sign in again" in (reason or "") and down for _, reason, down, _ in post.reports)
    assert "first-refresh-token" not in str(post.reports)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedDeduplicator]:
    dedup = EmbeddedDeduplicator(tmp_path / "dedup.db")
    await dedup.open()
    yield dedup
    await dedup.close()


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Made:
    """An `OAuth` as a gateway that has just started makes it, and what it reports."""

    def __init__(
        self, config: OAuthConfig, folder: Path, http: aiohttp.ClientSession, store: Any, clock: Clock
    ) -> None:
        self.reports: list[tuple[str | None, datetime | None]] = []
        context = make_context(ChannelRef(id="m", type="email"), folder, http, store=store, report=self._report)
        self.oauth = OAuth(config, context, "imap", clock=clock)

    def _report(
        self, component: str, reason: str | None, *, down: bool = False, expires_at: datetime | None = None
    ) -> None:
        assert (component, down) == ("oauth", False)
        self.reports.append((reason, expires_at))


async def test_a_rotated_refresh_token_is_used_after_a_restart_and_by_other_nodes(
    tokens: TokenServer, tmp_path: Path, http: aiohttp.ClientSession, store: EmbeddedDeduplicator
) -> None:
    tokens.rotate, tokens.secs = True, 1
    clock = Clock()
    for node in ("a", "b", "a"):
        made = Made(oauth(tokens), tmp_path / node, http, store, clock)
        assert await made.oauth.token() in tokens.access_tokens
        clock.now += 10
    assert len({form["refresh_token"] for form in tokens.forms}) == 3


async def test_a_rotated_refresh_token_survives_the_loss_of_the_store(
    tokens: TokenServer, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    tokens.rotate = True
    clock = Clock()
    for number in range(2):
        dedup = EmbeddedDeduplicator(tmp_path / f"{number}.db")
        await dedup.open()
        assert await Made(oauth(tokens), tmp_path, http, dedup, clock).oauth.token() in tokens.access_tokens
        await dedup.close()
    files = list((tmp_path / "oauth").iterdir())
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]


async def test_the_end_of_a_refresh_token_is_told_before_it_comes(
    tokens: TokenServer, tmp_path: Path, http: aiohttp.ClientSession, store: EmbeddedDeduplicator
) -> None:
    clock = Clock()
    ends = datetime.fromtimestamp(clock.now, UTC) + timedelta(days=90)
    for days, expected in ((0, None), (75, None), (77, ends)):
        clock.now = Clock.now + days * DAY
        made = Made(oauth(tokens, lifetime_days=90), tmp_path, http, store, clock)
        await made.oauth.token()
        made.oauth._warn(await made.oauth.expiry())
        reason, expires_at = made.reports[-1]
        assert (expires_at, made.oauth.ends) == (expected, ends)
        assert (reason is None) == (expected is None)


async def test_what_the_provider_says_about_the_end_counts(
    tokens: TokenServer, tmp_path: Path, http: aiohttp.ClientSession, store: EmbeddedDeduplicator
) -> None:
    tokens.more = {"refresh_token_expires_in": 3 * DAY}
    made = Made(oauth(tokens), tmp_path, http, store, Clock())
    await made.oauth.token()
    made.oauth._warn(await made.oauth.expiry())
    assert made.reports[-1][1] == datetime.fromtimestamp(Clock.now + 3 * DAY, UTC)


async def test_the_day_on_which_a_client_secret_ends_is_told(
    tokens: TokenServer, tmp_path: Path, http: aiohttp.ClientSession, store: EmbeddedDeduplicator
) -> None:
    day = datetime.fromtimestamp(Clock.now + 5 * DAY, UTC).date()
    made = Made(oauth(tokens, refresh_token=None, ends=day.isoformat()), tmp_path, http, store, Clock())
    await made.oauth.token()
    made.oauth._warn(await made.oauth.expiry())
    assert tokens.forms[0]["grant_type"] == "client_credentials"
    assert made.reports[-1][1] == datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failure", "error", "words"),
    [
        ((400, {"error": "invalid_grant"}), Misconfigured, "sign in again"),
        ((401, {"error": "invalid_client"}), Misconfigured, "create a new one"),
        ((400, {"error": "temporarily_unavailable"}), Unreachable, "out of service"),
        ((503, "down"), Unreachable, "503"),
        ((200, {"no": "token"}), Misconfigured, "token_url"),
        ((200, {"access_token": "t", "expires_in": "soon"}), Misconfigured, "token_url"),
    ],
)
async def test_a_refusal_of_the_token_server_is_explained(
    tokens: TokenServer,
    tmp_path: Path,
    http: aiohttp.ClientSession,
    store: EmbeddedDeduplicator,
    failure: tuple[int, Any],
    error: type[Exception],
    words: str,
) -> None:
    tokens.failure = failure
    with pytest.raises(error, match=words):
        await Made(oauth(tokens), tmp_path, http, store, Clock()).oauth.token()


async def test_the_channel_tells_how_its_mailbox_is(
    make_dovecot: Callable[..., Dovecot],
    tokens: TokenServer,
    tmp_path: Path,
    http: aiohttp.ClientSession,
    store: EmbeddedDeduplicator,
) -> None:
    dovecot = make_dovecot(introspection_url=tokens.introspection_url)
    dovecot.add(mail(1))
    context = make_context(ChannelRef(id="m", type="email"), tmp_path, http, store=store)
    options = imap(dovecot, oauth=oauth(tokens, ends="2027-03-01"))
    told = (await EmailChannel(EmailConfig(imap=options), context).probe())["imap"]
    assert told == {
        "host": "127.0.0.1",
        "folder": "INBOX",
        "mails": 1,
        "idle": True,
        "move": True,
        "access_expires_at": "2027-03-01T00:00:00+00:00",
    }
    assert dovecot.stored()[0].flags == {"\\Recent"}
    tokens.refresh_tokens.clear()
    tokens.access_tokens.clear()
    told = await EmailChannel(EmailConfig(imap=options), context).probe()
    (check,) = told["checks"]
    assert (check.name, check.ok, told["imap"]["error"]) == ("imap", False, "misconfigured")
    assert "sign in again" in check.detail


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, dovecot: Dovecot) -> None:
    from connectors.email.imap_session import tls_context  # noqa: PLC0415

    with pytest.raises(Misconfigured, match="tls_ca"):
        tls_context(imap(dovecot, tls_ca=str(tmp_path / "missing.pem")))
    assert tls_context(imap(dovecot)).verify_mode is ssl.CERT_REQUIRED
