"""`hello`: who comes, and where his conversation is.

*Anonymous* visitors are who holds the token. *Identified* ones have a conversation that follows from their id at the
site (``u_…``), or, where they wrote first and were identified then, the one they wrote in: their *home*, kept in the
channel's state. When somebody anonymous is identified his session gets a new id and the old one is revoked: a token
that was copied before shows nothing of what comes after.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.chat import entries
from connectors.chat.faults import Unauthentic, throttled
from connectors.chat.follower import GONE
from connectors.chat.identity import Identities
from connectors.chat.kit import Kit
from connectors.chat.limits import Rates, client_of
from connectors.chat.session import Session, Transport
from connectors.chat.tokens import Pass, Tokens, Who, new_session, new_visitor
from connectors.feeds import FeedEntry
from normalizer import ids
from normalizer.codecs.chat_types import Hello

HISTORY_MAX = 50
HEARTBEAT_SECS = 30
UNKNOWN = {"status": "unknown", "agents": []}
PRESENCE = "presence"


class Front:
    """The reception of one channel."""

    def __init__(self, kit: Kit, tokens: Tokens, identities: Identities | None, *, rates: Rates) -> None:
        """Believe `tokens` and, where there are any, `identities`; `rates` limits new sessions by client."""
        self._kit, self._tokens, self._identities, self._rates = kit, tokens, identities, rates
        self._state, self._config = kit.context.state, kit.config

    def glance(self, token: str) -> None:
        """Look whether a token can be one, without asking anybody; raises `Unauthentic`."""
        self._tokens.read(token, self._kit.clock())

    async def enter(self, token: str, *, transport: Transport, remote: str) -> Session:
        """Recognise a session; raises `Unauthentic`, `StateUnavailable`."""
        return Session(await self._known(token), transport=transport, remote=remote)

    async def hello(self, said: Hello, *, transport: Transport, remote: str) -> tuple[Session, dict[str, Any]]:
        """Let a visitor in; returns the session and the result.

        Raises:
            RpcError: not authentic, or too many new sessions.
            StateUnavailable: nobody knows now.
        """
        now = self._kit.clock()
        known = None if said.token is None else await self._known(said.token)
        who = None if said.jwt is None else self._identify(said.jwt, now)
        if self._config.jwt is not None and self._config.jwt.required and who is None and not (known and known.who):
            raise Unauthentic("jwt_required")
        given = await self._admit(known, who, remote)
        session = Session(given, transport=transport, remote=remote)
        session.page, session.client = said.page, said.client
        session.locale = said.locale or session.locale
        if who is not None:
            await self._tell(session, known)
        newest = next(iter(await self._kit.feeds.before(session.feed, None, limit=1)), None)
        result = await self._result(session, newest, said, resumed=known is not None)
        return session, result

    async def forget(self, session: str) -> None:
        """Revoke the tokens of a session, and end its connections; raises `StateUnavailable`."""
        await self._state.put(f"gone:{session}", b"1", ttl=self._config.session_secs)

    async def presence(self, session: Session | None) -> dict[str, Any]:
        """Return who is there for a visitor; raises `StateUnavailable`."""
        for key in ([f"{PRESENCE}:{session.feed}"] if session else []) + [PRESENCE]:
            told = await self._state.get(key)
            if told is not None:
                found: dict[str, Any] = msgspec.json.decode(told)
                return found
        return UNKNOWN

    @property
    def limits(self) -> dict[str, Any]:
        """What a client should keep to."""
        config = self._config
        return {
            "text_max": config.text_max,
            "message_max_bytes": config.message_max_bytes,
            "messages_per_minute": config.messages_per_minute,
            "edit_secs": config.edit_secs,
            "history_max": HISTORY_MAX,
            "upload_max_bytes": config.upload_max_bytes,
            "upload_types": list(config.upload_types),
            "uploads_per_minute": config.uploads_per_minute,
        }

    def _identify(self, token: str, now: float) -> Who:
        if self._identities is None:
            raise Unauthentic("jwt")
        return self._identities.who(token, now)

    async def _known(self, token: str) -> Pass:
        given = self._tokens.read(token, self._kit.clock())
        if await self._state.get(f"gone:{given.session}") is not None:
            raise Unauthentic("revoked")
        return given

    async def _admit(self, known: Pass | None, who: Who | None, remote: str) -> Pass:
        config, now = self._config, self._kit.clock()
        if known is not None and who is None:
            return known if known.who else replace(known, until=now + config.session_secs)
        same = known is not None and known.who is not None and who is not None and known.who.sub == who.sub
        if known is not None and same:
            return replace(known, until=now + config.identity_secs, who=who)
        wait = self._rates.take(client_of(remote))
        if wait:
            raise throttled(wait)
        if who is None:
            return Pass(visitor=new_visitor(), session=new_session(), until=now + config.session_secs)
        visitor = await self._home(who, await self._begun(known))
        return Pass(visitor=visitor, session=new_session(), until=now + config.identity_secs, who=who)

    async def _begun(self, known: Pass | None) -> str | None:
        """Return the conversation somebody has begun anonymously."""
        if known is None or known.who is not None or not await self._kit.feeds.before(known.visitor, None, limit=1):
            return None
        return known.visitor

    async def _home(self, who: Who, begun: str | None) -> str:
        """Find the conversation of an identified visitor, which may be the one he has begun anonymously."""
        key, ttl = f"home:{ids.digest(who.sub)}", max(self._config.keep_secs, self._config.session_secs)
        home = await self._state.get(key)
        usual = "u_" + ids.digest(self._kit.context.channel.id, who.sub)
        if home is not None:
            await self._state.put(key, home, ttl=ttl)
        elif begun is not None and not await self._kit.feeds.before(usual, None, limit=1):
            await self._state.swap(key, None, begun.encode(), ttl=ttl)
            home = await self._state.get(key)  # of two that were quick one has won
        return usual if home is None else home.decode()

    async def _tell(self, session: Session, known: Pass | None) -> None:
        """Tell the core who it is, also in the conversation that is left, and end the session that was anonymous."""
        at, call = self._kit.now(), session.call("identified")
        begun = await self._begun(known)
        if begun not in {None, session.feed}:
            left = replace(call.visitor, id=begun)
            await self._kit.deliver(replace(call, visitor=left, moved_to=session.feed), at)
        await self._kit.deliver(call, at)
        if known is not None and known.who is None:
            await self.forget(known.session)
            await self._kit.feeds.signal(known.visitor, GONE + known.session.encode())

    async def _result(
        self, session: Session, newest: FeedEntry | None, said: Hello, *, resumed: bool
    ) -> dict[str, Any]:
        given, seq = session.given, newest.seq if newest else 0
        ended = newest is not None and entries.stored(newest).method == entries.ENDED
        session.said = newest is not None and not ended
        session.seq = seq if said.after is None else said.after
        who = given.who
        visitor = {"name": who.name, "picture": who.picture} if who else {}
        return {
            "protocol": 1,
            "session": {
                "id": given.session,
                "token": self._tokens.issue(given),
                "expires_at": datetime.fromtimestamp(given.until, UTC),
                "resumed": resumed,
                "identified": who is not None,
            },
            "conversation": given.visitor,
            "visitor": {name: value for name, value in visitor.items() if value},
            "seq": seq,
            "gap": await self._gap(session, said.after, seq),
            "ended": ended,
            "presence": await self.presence(session),
            "limits": self.limits,
            "heartbeat_secs": HEARTBEAT_SECS,
            "poll_secs": self._config.poll_secs,
        }

    async def _gap(self, session: Session, after: int | None, seq: int) -> bool:
        """Tell whether entries the client has not seen are no longer kept."""
        if not after or after >= seq:
            return False
        kept = await self._kit.feeds.before(session.feed, after + 1, limit=1)
        return not kept or kept[0].seq != after
