"""Who is who: the same rules for contact ids and for `contact.identified` whatever the kind; no kind is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from normalizer import ids
from normalizer.model import ActivityParams, Party
from normalizer.raw import Event
from tests.contract import channel_fixtures as fixtures
from tests.contract.channel_bench import FOUND, SPECS, Bench, every
from tests.contract.channel_bench import dry_bench as dry_bench  # noqa: PLC0414 -- a fixture

METHOD = "contact.identified"
TELLING = sorted(kind for kind, spec in SPECS.items() if METHOD in spec.capabilities.receives)


def events(dry_bench: Bench, kind: str, path: Path) -> list[Event]:
    found = dry_bench.connector(kind).codec.decode(fixtures.raw_event(kind, path))
    return [one for one in found if isinstance(one, Event)]


def people(value: object) -> Iterator[Party]:
    """Find everybody an event speaks of."""
    if isinstance(value, Party):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from people(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from people(one)


@every("in")
async def test_everybody_has_the_id_that_their_first_address_makes(dry_bench: Bench, kind: str, path: Path) -> None:
    for event in events(dry_bench, kind, path):
        for party in people(event.params):
            if not party.addresses:
                assert party.role == "system", "only the provider itself has no address"
                continue
            first = party.addresses[0]
            assert party.id == ids.contact_id(first.scheme, first.value)
            assert len(set(party.addresses)) == len(party.addresses), "an address is said twice"


@pytest.mark.parametrize("kind", TELLING)
async def test_a_contact_that_is_identified_says_which_ids_are_the_same_person(dry_bench: Bench, kind: str) -> None:
    """One address is enough only where the link is to something of the provider's, which `metadata` then carries."""
    told = [
        event.params
        for found, path in FOUND["in"]
        if found == kind
        for event in events(dry_bench, kind, path)
        if event.method == METHOD
    ]

    assert told, "a kind that tells it needs a fixture of it"
    for params in told:
        assert isinstance(params, ActivityParams)
        assert params.sender is not None
        further = [ids.contact_id(one.scheme, one.value) for one in params.sender.addresses[1:]]
        assert list(params.same_as) == [one for one in further if one != params.sender.id]
        assert params.same_as or params.sender.name or (params.reason and params.metadata.get(kind))
