"""What probes of all kinds say in the same words, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gateway.doctor.terms import DAY_SECS, moment, term
from normalizer.checks import Check

FAILING_SECS = 3600.0
"""A delivery that failed longer ago is history."""

RENEW = "renew it at the provider, and put the new one into the channel's options"


def derived(told: dict[str, Any], url: str | None, days: float, now: float) -> Iterator[Check]:
    """Judge what a probe (`connectors.api.Prober`) told.

    * ``…expires_at``, ``…days_left``, ``token_expires_in_secs``, at any depth: when something ends that a person must
      renew (what the gateway renews by itself is called otherwise, such as ``expires_in_secs``);
    * ``missing_scopes``: what the token may not do and we need;
    * ``webhook``, an URL or a table with ``url`` or ``endpoint``: where the provider delivers; with ``missing`` what it
      does not deliver and we need; with ``last_error_date`` and ``last_error_message`` how that fared;
    * a table with ``error`` and ``message``: what could not be asked.

    Args:
        told: by the probe.
        url: where the channel is reached from outside; None if that is not known.
        days: how long before its end something needs attention.
        now: Unix time.
    """
    yield from _terms(told, (), days, now)
    yield from _unasked(told)
    missing = told.get("missing_scopes")
    if isinstance(missing, list | tuple):
        yield _scopes([str(one) for one in missing])
    webhook = told.get("webhook")
    if isinstance(webhook, str):
        webhook = {"url": webhook}
    if isinstance(webhook, dict):
        yield from _webhook(webhook, url, now)


def _terms(told: dict[str, Any], path: tuple[str, ...], days: float, now: float) -> Iterator[Check]:
    for key, value in told.items():
        if isinstance(value, dict):
            yield from _terms(value, (*path, key), days, now)
            continue
        word, ends = _end(key, value, now)
        if ends is not None:
            name = ".".join(filter(None, (*path, word))) or "token"
            what = word or (path[-1] if path else "token")
            yield term(name, f"the {what.replace('_', ' ')}", ends, now=now, days=days, hint=RENEW)


def _end(key: str, value: object, now: float) -> tuple[str, datetime | None]:
    """Read an entry; returns what ends, and when, or None if the entry is none of an end."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    for suffix, secs in (("days_left", DAY_SECS), ("token_expires_in_secs", 1.0)):
        if key.endswith(suffix) and number is not None:
            word = key.removesuffix("days_left").removesuffix("_expires_in_secs").strip("_")
            return word, moment(now + number * secs)
    if key.endswith("expires_at"):
        return key.removesuffix("expires_at").strip("_"), moment(value)
    return "", None


def _unasked(told: dict[str, Any]) -> Iterator[Check]:
    for key, value in told.items():
        if isinstance(value, dict) and isinstance(value.get("error"), str) and isinstance(value.get("message"), str):
            yield Check(name=key, ok=None, detail=f"could not be asked: {value['message']}")


def _scopes(missing: list[str]) -> Check:
    if not missing:
        return Check(name="scopes", ok=True, detail="the token may do what the gateway needs")
    hint = "grant them at the provider; a token may have to be made anew"
    return Check(name="scopes", ok=False, detail=f"the token lacks {', '.join(missing)}", hint=hint)


def _webhook(webhook: dict[str, Any], url: str | None, now: float) -> Iterator[Check]:
    there = webhook.get("url", webhook.get("endpoint"))
    if isinstance(there, str):
        yield _registered(there, url)
    missing = webhook.get("missing")
    if isinstance(missing, list | tuple) and missing:
        hint = "subscribe to it at the provider"
        detail = f"the provider does not deliver {', '.join(map(str, missing))}"
        yield Check(name="subscriptions", ok=False, detail=detail, hint=hint)
    failed, words = moment(webhook.get("last_error_date")), webhook.get("last_error_message")
    if failed is not None and isinstance(words, str) and now - failed.timestamp() < FAILING_SECS:
        hint = "mend it soon: providers give up after a while"
        yield Check(name="deliveries", ok=False, detail=f"the provider could not deliver: {words[:200]}", hint=hint)


def _registered(there: str, ours: str | None) -> Check:
    enter = f"enter {ours or 'the URL of the channel'} at the provider"
    if not there:
        return Check(name="registered", ok=False, detail="the provider has no URL to deliver to", hint=enter)
    where = f"the provider delivers to {there.partition('?')[0]}"
    if ours is None:
        detail = f"{where}; whether that is here cannot be told without public_url"
        return Check(name="registered", ok=None, detail=detail)
    same = there.rstrip("/") == ours.rstrip("/")
    hint = None if same else f"{enter}, unless a proxy passes it on"
    return Check(name="registered", ok=same, detail=where, hint=hint)
