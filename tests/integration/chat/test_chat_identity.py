"""Who a visitor is, and who he is not."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from connectors.chat import JwtConfig
from connectors.chat.tokens import Pass, Tokens
from connectors.secrets import Secret
from tests.integration.chat.helpers import Office, Rejected, office

SHARED = "a-shared-secret-of-the-tests-of-32-bytes"
OTHER = "another-secret-of-the-tests-with-32-bytes"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def site(key: Any = SHARED, algorithm: str = "HS256", *, kid: str | None = None, **claims: Any) -> str:
    """Write a token as the customer's site does."""
    told = {"sub": "4711", "exp": time.time() + 60, "name": "Ada", "email": "Ada@Example.com", **claims}
    told = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(told, key, algorithm, headers={"kid": kid} if kid else None)


SITE = JwtConfig(algorithms=("HS256",), key=Secret(SHARED))


@pytest.fixture
async def club(tmp_path: Path) -> AsyncIterator[Office]:
    """A chat whose visitors may be identified by a shared secret."""
    async with office(tmp_path, jwt=SITE) as made:
        yield made


async def refused(it: Office, **hello: Any) -> str:
    """Say hello in vain, by both transports; returns the reason."""
    with pytest.raises(Rejected) as by_http:
        await it.poller().hello(**hello)
    async with it.connected() as visitor:
        with pytest.raises(Rejected) as by_socket:
            await visitor.hello(**hello)
        assert await visitor.close_code() == 1008
    assert (by_http.value.status, by_http.value.code, by_socket.value.code) == (401, -32020, -32020)
    assert by_http.value.data == by_socket.value.data
    return str(by_http.value.data["reason"])


async def test_an_identified_visitor_is_told_to_the_core(club: Office) -> None:
    async with club.visitor(jwt=site(email_verified=True, phone_number="+49301234", locale="de")) as ada:
        assert ada.session["session"]["identified"]
        assert ada.session["visitor"] == {"name": "Ada"}
        told = await club.event("contact.identified")
        assert told["from"]["name"] == "Ada"
        assert told["from"]["locale"] == "de"
        assert told["from"]["addresses"] == [
            {"scheme": "chat", "value": ada.id},
            {"scheme": "chat-user", "value": "4711"},
            {"scheme": "mailto", "value": "ada@example.com"},
            {"scheme": "tel", "value": "+49301234"},
        ]
        assert told["security"]["verified"] == "token"
        await ada.say("Hi", "c1")
        heard = await club.event("message.received")
        assert heard["message"]["from"]["id"] == told["from"]["id"]


async def test_an_address_the_site_has_not_verified_is_left_out(club: Office) -> None:
    async with club.visitor(jwt=site(email_verified=False)):
        told = await club.event("contact.identified")
        assert [one["scheme"] for one in told["from"]["addresses"]] == ["chat", "chat-user"]


async def test_all_devices_of_an_identified_visitor_share_a_conversation(club: Office) -> None:
    async with club.visitor(jwt=site()) as phone, club.visitor(jwt=site()) as desktop:
        assert phone.id == desktop.id
        await phone.say("from the phone", "c1")
        await desktop.until(1)
        async with club.visitor(jwt=site(sub="4712")) as somebody:
            assert somebody.id != phone.id


async def test_who_is_identified_while_writing_keeps_the_conversation(club: Office) -> None:
    async with club.visitor() as ada:
        anonymous, before = ada.id, ada.token
        await ada.say("Hi", "c1")
        await ada.hello(token=ada.token, jwt=site(), after=0)
        assert ada.id == anonymous
        assert ada.session["session"]["identified"]
        await ada.until(2)
        assert ada.messages() == ["Hi", "Hi"]
        told = await club.event("contact.identified")
        assert told["conversation"]["provider_id"] == anonymous
    async with club.visitor(jwt=site()) as other_device:
        assert other_device.id == anonymous
    assert await refused(club, token=before) == "revoked"  # who copied it before sees nothing of what comes after


async def test_a_connection_that_was_anonymous_elsewhere_ends_when_the_visitor_is_identified(club: Office) -> None:
    async with club.visitor() as ada, club.visitor(token=ada.token) as copied:
        await ada.say("Hi", "c1")
        await ada.hello(token=ada.token, jwt=site())
        assert await copied.close_code() == 1008
        await club.send(ada.id, "for Ada only")
        await ada.until(2)


async def test_who_has_a_conversation_already_goes_on_with_it(club: Office) -> None:
    async with club.visitor(jwt=site()) as phone:
        await phone.say("from the phone", "c1")
    async with club.visitor() as desktop:
        anonymous = desktop.id
        await desktop.say("anonymously", "c1")
        await desktop.hello(token=desktop.token, jwt=site())
        assert desktop.id == phone.id
        left = next(told for told in await all_identified(club, 2) if told["conversation"]["provider_id"] == anonymous)
        assert left["metadata"]["chat"]["moved_to"] == phone.id
        assert {"scheme": "chat", "value": phone.id} in left["from"]["addresses"]
        history = await desktop.call("history")
        assert [event["params"]["message"]["text"] for event in history["events"]] == ["from the phone"]


async def all_identified(it: Office, number: int) -> list[dict[str, Any]]:
    await it.event("contact.identified", number)
    return it.told("contact.identified")


async def test_nothing_was_said_so_nothing_is_kept_of_the_anonymous_visitor(club: Office) -> None:
    async with club.visitor() as ada:
        anonymous = ada.id
        await ada.hello(token=ada.token, jwt=site())
        assert ada.id != anonymous
        await club.event("contact.identified")
        assert len(club.told("contact.identified")) == 1


async def test_another_user_gets_another_session_and_sees_nothing_of_the_first(club: Office) -> None:
    async with club.visitor(jwt=site()) as ada:
        await ada.say("private", "c1")
        await ada.until(1)
        first, heard = ada.id, len(ada.heard)
        await ada.hello(token=ada.token, jwt=site(sub="4712", name="Bob"), after=0)
        assert ada.id != first
        assert not (await ada.call("history"))["events"]
        await club.send(first, "for Ada")
        await club.send(ada.id, "for Bob")
        await ada.until(2)
        assert ada.messages()[-1] == "for Bob"
        assert len(ada.heard) == heard + 1


async def test_the_same_identity_again_is_no_news(club: Office) -> None:
    async with club.visitor(jwt=site()) as ada:
        await ada.hello(token=ada.token, jwt=site())
        await ada.hello(token=ada.token)
        await ada.say("Hi", "c1")
        await club.event("message.received")
    assert len(club.told("contact.identified")) == 1


async def test_who_logs_out_leaves_no_token_that_works(club: Office) -> None:
    async with club.visitor(jwt=site()) as ada, club.visitor(token=ada.token) as tab:
        await ada.say("Hi", "c1")
        await ada.call("session.close", forget=True)
        for each in (ada, tab):
            assert await each.close_code() == 1008
        assert await refused(club, token=ada.token) == "revoked"
        poller = club.poller()
        poller.session = ada.session
        for call in (poller.poll(), poller.call("history")):
            with pytest.raises(Rejected) as gone:
                await call
            assert gone.value.data["reason"] == "revoked"
        assert (await poller.upload(b"x", "x.txt", "text/plain"))[0] == 401


@pytest.mark.parametrize("wrong", ["", "x", "a.b.c", "eyJ" * 50, "\u0000", "é.é.é"])
async def test_a_token_that_is_none_is_refused(club: Office, wrong: str) -> None:
    assert await refused(club, token=wrong) == "invalid"


async def test_a_forged_token_is_refused(club: Office) -> None:
    async with club.visitor() as ada:
        claims = jwt.decode(ada.token, options={"verify_signature": False})
        header = jwt.get_unverified_header(ada.token)
    forged = [
        jwt.encode(claims, SHARED, "HS256", headers=header),
        jwt.encode(claims, "", "none", headers={"kid": header["kid"]}),
        jwt.encode(claims, bytes(32), "HS256"),  # what an unknown key is compared with
        jwt.encode(claims, bytes(32), "HS256", headers={"kid": "deadbeef"}),
        ada.token[:-4] + ("AAAA" if ada.token[-4:] != "AAAA" else "BBBB"),
        jwt.encode({**claims, "aud": "another"}, SHARED, "HS256", headers=header),
    ]
    for token in forged:
        assert await refused(club, token=token) == "invalid"


async def test_a_token_of_another_channel_is_refused(tmp_path: Path) -> None:
    key = Secret("a-key-of-the-tests-with-32-letters")
    async with office(tmp_path, token_key=key) as it:
        given = Pass(visitor="v_" + "x" * 22, session="s_1", until=time.time() + 60)
        foreign = Tokens("another", [key.reveal().encode()]).issue(given)
        assert await refused(it, token=foreign) == "invalid"
        own = Tokens("web", [key.reveal().encode()]).issue(given)
        await it.poller().hello(token=own)


async def test_an_expired_token_is_refused_and_says_so(tmp_path: Path) -> None:
    async with office(tmp_path, session_secs=0.4, identity_secs=0.4, jwt=SITE) as it:
        anonymous, known = it.poller(), it.poller()
        await anonymous.hello()
        await known.hello(jwt=site())
        time.sleep(1.1)
        assert await refused(it, token=anonymous.session["session"]["token"]) == "expired"
        assert await refused(it, token=known.session["session"]["token"]) == "identity_expired"


async def test_keys_of_tokens_can_be_changed(tmp_path: Path) -> None:
    old, new = Secret("the-old-key-of-the-tests-32-letters!"), Secret("the-new-key-of-the-tests-32-letters!")
    async with office(tmp_path, token_key=old) as it, it.visitor() as ada:
        pass
    async with office(tmp_path, token_key=new, old_token_keys=(old,)) as it, it.visitor(token=ada.token) as again:
        assert again.id == ada.id
        assert jwt.get_unverified_header(again.token) != jwt.get_unverified_header(ada.token)
    async with office(tmp_path, token_key=new) as it:
        async with it.visitor(token=again.token) as later:
            assert later.id == ada.id
        assert await refused(it, token=ada.token) == "invalid"


@pytest.mark.parametrize(
    "token",
    [
        site(OTHER),
        site(exp=time.time() - 60),
        site(exp=time.time() + 90_000),  # far beyond max_age_secs
        site(exp=None),
        site(exp="soon"),
        site(nbf=time.time() + 120),
        site(sub=None),
        site(sub=""),
        site(sub="x" * 300),
        jwt.encode({"sub": "4711", "exp": time.time() + 60}, "", "none"),
        site(RSA, "RS256"),
        site(SHARED * 2, "HS512"),
        "no token",
        "",
    ],
    ids=(
        *("other key", "expired", "too long", "no end", "end is no time", "not yet", "nobody", "empty", "long name"),
        *("unsigned", "other kind of key", "other algorithm", "no token", "nothing"),
    ),
)
async def test_a_token_of_the_site_that_is_wrong_is_refused(club: Office, token: str) -> None:
    assert await refused(club, jwt=token) == "jwt"
    assert club.told("contact.identified") == []


async def test_audience_and_issuer_are_looked_at(tmp_path: Path) -> None:
    config = JwtConfig(algorithms=("HS256",), key=Secret(SHARED), audience="chat", issuer="https://shop.example")
    right = {"aud": ["chat", "shop"], "iss": "https://shop.example"}
    async with office(tmp_path, jwt=config) as it:
        await it.poller().hello(jwt=site(**right))
        for wrong in ({"aud": "shop"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}):
            assert await refused(it, jwt=site(**{**right, **wrong})) == "jwt"


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")])
async def test_public_keys_are_for_checking_only_with_their_own_algorithms(
    tmp_path: Path, key: Any, algorithm: Any
) -> None:
    public = pem(key)
    config = JwtConfig(algorithms=("HS256", algorithm), key=Secret(public))
    async with office(tmp_path, jwt=config) as it:
        await it.poller().hello(jwt=site(key, algorithm))
        header = {"alg": "HS256", "typ": "JWT"}
        body = ".".join(
            jwt.utils.base64url_encode(json.dumps(part).encode()).decode()
            for part in (header, {"sub": "4711", "exp": int(time.time()) + 60})
        )
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            body.encode(), public.encode()
        )
        confused = f"{body}.{jwt.utils.base64url_encode(signature).decode()}"
        for wrong in (confused, site(SHARED)):
            assert await refused(it, jwt=wrong) == "jwt"


async def test_keys_of_the_site_are_changed_by_kid(tmp_path: Path) -> None:
    config = JwtConfig(algorithms=("HS256", "ES256"), keys={"old": Secret(SHARED), "new": Secret(pem(EC))})
    async with office(tmp_path, jwt=config) as it:
        await it.poller().hello(jwt=site(kid="old"))
        await it.poller().hello(jwt=site(EC, "ES256", kid="new"))
        for wrong in (site(), site(kid="unknown"), site(kid="new"), site(EC, "ES256", kid="old")):
            assert await refused(it, jwt=wrong) == "jwt"


async def test_a_key_set_is_read(tmp_path: Path) -> None:
    def jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
        kind = jwt.algorithms.get_default_algorithms()[algorithm]
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": algorithm, "use": "sig"}

    keys = json.dumps({"keys": [jwk(RSA, "r", "RS256"), jwk(EC, "e", "ES256")]})
    config = JwtConfig(algorithms=("RS256", "ES256"), jwks=Secret(keys))
    async with office(tmp_path, jwt=config) as it:
        await it.poller().hello(jwt=site(RSA, "RS256", kid="r"))
        await it.poller().hello(jwt=site(EC, "ES256", kid="e"))
        assert await refused(it, jwt=site(RSA, "RS256", kid="e")) == "jwt"
        assert await refused(it, jwt=site(RSA, "RS256")) == "jwt"


async def test_where_everybody_must_be_identified_nobody_else_is_let_in(tmp_path: Path) -> None:
    config = JwtConfig(algorithms=("HS256",), key=Secret(SHARED), required=True)
    async with office(tmp_path, jwt=config) as it:
        assert await refused(it) == "jwt_required"
        async with it.visitor(jwt=site()) as ada, it.visitor(token=ada.token) as again:
            assert again.id == ada.id


async def test_without_keys_no_identity_is_believed(shop: Office) -> None:
    assert await refused(shop, jwt=site()) == "jwt"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithms": ("HS256",)}, "needs `key`"),
        ({"algorithms": ("HS256",), "key": Secret("short")}, "32 bytes"),
        ({"algorithms": ("RS256",), "key": Secret(SHARED)}, "no PEM"),
        ({"algorithms": ("ES256",), "key": Secret(pem(RSA))}, "no public key for any"),
        ({"algorithms": ("HS256",), "key": Secret(pem(RSA))}, "no public key for any"),
        ({"algorithms": ("RS256",), "jwks": Secret("{}")}, "JSON Web Key Set"),
        ({"algorithms": ("RS256",), "jwks": Secret('{"keys": [{"kty": "oct", "k": "eA", "kid": "x"}]}')}, "jwks"),
    ],
)
def test_keys_that_cannot_work_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        JwtConfig(**options)
