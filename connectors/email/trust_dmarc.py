"""DMARC (RFC 9989): whether a domain that was proved is the author's.

Organizational domains are found by the tree walk of §4.10, in the DNS alone: no list of public suffixes that would have
to be kept up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from connectors.email.trust_dns import Dns

WALK = 8
"""Names asked about in one walk (§4.10): a longer name is cut to its last seven labels after the first."""
POLICIES = ("none", "quarantine", "reject")
_TAG = re.compile(r"\s*([a-zA-Z]+)\s*=\s*([^;]*)")


class Finding(Struct, frozen=True):
    """A result in the words of RFC 8601 §2.7 (None: nobody can tell), and the policy of the author's domain."""

    result: str | None
    policy: str | None = None


class Dmarc:
    """Answers questions about the author's domain, each name asked once."""

    def __init__(self, dns: Dns, deadline: float) -> None:
        """Ask `dns` until `deadline`; every method may raise `connectors.email.trust_dns.NotNow`."""
        self._dns, self._deadline = dns, deadline
        self._known: dict[str, dict[str, str] | None] = {}

    def check(self, author: str, *, dkim: list[str], spf: str | None) -> Finding:
        """Evaluate a mail.

        Args:
            author: the domain of From.
            dkim: domains with a valid signature.
            spf: the domain that SPF passed for, if it did.
        """
        records = list(self._walk(author))
        organization = _organization(author, records)
        found = next(((name, tags) for name, tags in records if name in {author, organization}), None)
        found = found or next(((name, tags) for name, tags in records if tags.get("psd") == "y"), None)
        if found is None:
            return Finding("none")
        name, tags = found
        proved = [(one, tags.get("adkim")) for one in dkim] + [(one, tags.get("aspf")) for one in [spf] if one]
        aligned = any(self._aligned(one, author, organization, strict=mode == "s") for one, mode in proved)
        return Finding("pass" if aligned else "fail", _policy(tags, of_itself=name == author))

    def _aligned(self, proved: str, author: str, organization: str, *, strict: bool) -> bool:
        if proved == author or strict:
            return proved == author
        if proved != organization and not proved.endswith("." + organization):
            return False  # below another organization, whatever the walk would find
        return _organization(proved, list(self._walk(proved))) == organization

    def _walk(self, domain: str) -> Iterator[tuple[str, dict[str, str]]]:
        labels = domain.split(".")
        tails = [labels, *(labels[start:] for start in range(max(1, len(labels) - WALK + 1), len(labels)))]
        for tail in tails:
            name = ".".join(tail)
            tags = self._record(name)
            if tags is not None:
                yield name, tags
                if tags.get("psd") in {"y", "n"}:
                    return

    def _record(self, name: str) -> dict[str, str] | None:
        if name not in self._known:
            texts = [text.decode("utf-8", "replace") for text in self._dns.texts(f"_dmarc.{name}", self._deadline)]
            found = [tags for text in texts if (tags := _tags(text)) is not None]
            self._known[name] = found[0] if len(found) == 1 else None
        return self._known[name]


def _tags(text: str) -> dict[str, str] | None:
    """Read a record; None for a text that is none, or without any use (§4.7, §4.8)."""
    pairs = [_TAG.match(piece) for piece in text.split(";")]
    tags = {match[1].lower(): match[2].strip().lower() for match in reversed(pairs) if match}
    if not pairs[0] or pairs[0][1].lower() != "v" or pairs[0][2].strip() != "DMARC1":
        return None
    if tags.get("p", "none") not in POLICIES:
        tags["p"] = "none"
    return tags


def _organization(domain: str, records: list[tuple[str, dict[str, str]]]) -> str:
    """Name the organizational domain, given what a walk found (§4.10.2)."""
    for name, tags in records:
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != domain:
            return ".".join(domain.split(".")[-name.count(".") - 2 :])
    return records[-1][0] if records else domain


def _policy(tags: dict[str, str], *, of_itself: bool) -> str:
    policy = tags.get("p", "none")
    below = tags.get("sp", policy)
    return policy if of_itself or below not in POLICIES else below
