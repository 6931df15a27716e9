"""From a recipient address to a channel."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from typing_extensions import override

T = TypeVar("T")

_LOCAL = re.compile(r"[^\s@<>,;:()\[\]\\\"]{1,64}")
_DOMAIN = re.compile(r"[^\s@<>,;:()\\\"*]{1,255}")


class Pattern(NamedTuple):
    """A configured address: `local` is ``*`` for every recipient of the domain."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``support@shop.example`` or ``*@shop.example``; raises `ValueError` that says what is expected."""
        local, at, domain = text.rpartition("@")
        wildcard = "*" in local and local != "*"
        if not at or wildcard or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
            raise ValueError(
                f"{text!r} is no address; write support@shop.example, or *@shop.example for all of a domain"
            )
        return cls(*split(text))

    @override
    def __str__(self) -> str:
        """As in the configuration."""
        return f"{self.local}@{self.domain}"


def split(address: str) -> tuple[str, str]:
    """Split an address into local part and domain, both in the form used for comparisons."""
    local, _, domain = address.rpartition("@")
    domain = domain.rstrip(".").lower()
    if not domain.isascii():
        with suppress(UnicodeError):  # no valid name: it can still be compared as it is
            domain = domain.encode("idna").decode("ascii")
    return local.strip('"').lower(), domain


class Routes(Generic[T]):
    """Finds the target of a recipient: the exact address, else without ``+detail``, else the domain's wildcard."""

    def __init__(self) -> None:
        """Start empty."""
        self._targets: dict[tuple[str, str], T] = {}

    def add(self, patterns: list[Pattern], target: T) -> None:
        """Add all or none; raises `ValueError` naming an address that is taken."""
        taken = next((pattern for pattern in patterns if pattern in self._targets), None)
        if taken is not None:
            raise ValueError(f"the address {taken} belongs to {self._targets[taken]} already")
        self._targets.update((pattern, target) for pattern in patterns)

    def discard(self, target: T) -> None:
        """Remove every address of a target."""
        self._targets = {pattern: one for pattern, one in self._targets.items() if one is not target}

    def find(self, address: str) -> T | None:
        """Look a recipient up."""
        local, domain = split(address)
        for candidate in (local, local.partition("+")[0], "*"):
            if candidate and (target := self._targets.get((candidate, domain))) is not None:
                return target
        return None

    def __len__(self) -> int:
        """Count the addresses."""
        return len(self._targets)
