"""The public URL: set, https, reachable from here, and served with a certificate that lasts."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec import Struct
from yarl import URL

from gateway.doctor.certificate import Untrusted, ends
from gateway.doctor.mirror import Face
from gateway.doctor.terms import term
from normalizer.checks import Check

NO_HAIRPIN = "if only this machine cannot reach its own public address (no hairpin NAT), ask from elsewhere"
RENEW = "renew it; providers stop delivering when it has ended"


class Looked(Struct, frozen=True):
    """What was found.

    Attributes:
        checks: `public_url`, and `certificate` where there is one.
        reachable: requests can be sent to it.
    """

    checks: tuple[Check, ...]
    reachable: bool


async def look(face: Face, *, days: float) -> Looked:
    """Look at the public URL; a certificate needs attention `days` before its end."""
    url = face.public_url
    if url is None:
        hint = "set [http] public_url to what the provider is told"
        unset = Check(name="public_url", ok=None, detail="it is not set, so nothing outside was tried", hint=hint)
        return Looked((unset,), reachable=False)
    if URL(url).scheme != "https":
        private = _private(url)
        detail = "not https" + (
            ", and only this machine can reach it" if private else "; providers deliver by https only"
        )
        hint = "put a proxy that terminates TLS in front, and set [http] public_url to its address"
        return Looked(
            (Check(name="public_url", ok=None if private else False, detail=detail, hint=hint),), reachable=True
        )
    return await _https(face, url, days)


async def _https(face: Face, url: str, days: float) -> Looked:
    fine = Check(name="public_url", ok=True, detail=f"{url} is reached by https")
    try:
        last = await ends(url)
    except Untrusted as exc:
        refused = Check(name="certificate", ok=False, detail=f"clients refuse it: {exc}", hint=RENEW)
        return Looked((fine, refused), reachable=False)
    except (OSError, ValueError) as exc:
        detail = f"{url} is not reached from here: {_fault(exc)}"
        return Looked((Check(name="public_url", ok=False, detail=detail, hint=NO_HAIRPIN),), reachable=False)
    name = "the certificate of public_url"
    return Looked((fine, term("certificate", name, last, now=face.clock(), days=days, hint=RENEW)), reachable=True)


def _fault(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer"
    return getattr(exc, "strerror", None) or type(exc).__name__


def _private(url: str) -> bool:
    host = URL(url).host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
