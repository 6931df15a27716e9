"""The console: one page of plain HTML, made anew every few seconds; no script, nothing from outside.

It needs no token and therefore shows nothing a customer said, did or is called: ids and states of channels, numbers,
and of errors only their names. Details are behind the token (`channel.get`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from gateway.requests_api import Control

REFRESH_SECS = 5
COLUMNS = ("received", "published", "duplicate", "ignored", "quarantined", "spooled")
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: #17803d; } .bad { color: #c02626; } .dim { opacity: .65; }
"""


def page(control: Control) -> str:
    """Render the state of the gateway."""
    ready, overview, ping = control.readiness(), control.overview(), control.ping()
    channels = control.channels()
    state = _state("ready" if ready.ready else "not ready", good=ready.ready)
    reasons = "".join(f"<li class=bad>{_text(reason.partition(':')[0])}</li>" for reason in ready.reasons)
    spool = overview["spool"]
    return "".join(
        [
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            f'<meta http-equiv=refresh content="{REFRESH_SECS}">',
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<title>Omnigate {_text(ping['node'])}</title><style>{STYLE}</style></head><body>",
            f"<h1>Omnigate <span class=dim>{_text(ping['version'])} on {_text(ping['node'])}</span> {state}</h1>",
            f"<ul>{reasons}</ul>" if reasons else "",
            f"<p>Up {_duration(ping['uptime_secs'])} · waiting in the spool: {_text(spool['rows'])}",
            f", the oldest for {_duration(spool['oldest_secs'])}" if spool["rows"] else "",
            "</p><h2>Channels</h2>",
            _table(
                ("channel", "kind", "receiving", "sending", "last send error", "under way"), map(_channel, channels)
            ),
            "<h2>Ledger</h2>",
            _table(("channel", *COLUMNS, "balance"), (_ledger(*item) for item in sorted(overview["ledger"].items()))),
            "<p class=dim>received = published + duplicate + ignored + quarantined + spooled. Metrics: ",
            '<a href="/metrics">/metrics</a>. ',
            '<a href="/chat">Agent console</a>. Requests with the admin token: POST /api.</p></body></html>',
        ]
    )


def _channel(item: Mapping[str, Any]) -> list[str]:
    state, sending = str(item.get("state")), item.get("sending") or {}
    breaker, paused = str(sending.get("breaker", "-")), sending.get("paused_secs", 0)
    out = (
        f"throttled for {_duration(paused)}" if paused else {"closed": "ok", "open": "suspended"}.get(breaker, breaker)
    )
    # An error may quote anything; its name, the part before the colon, does not.
    error = str(item.get("error") or "").partition(":")[0]
    return [
        _cell(item.get("id")),
        _cell(item.get("kind")),
        f"<td>{_state(state, good=state == 'ok')} <span class=dim>{_text(error)}</span></td>",
        f"<td>{_state(out, good=out == 'ok')}</td>" if sending else "<td class=dim>-</td>",
        _cell(sending.get("last_error") or "-"),
        _number(sending.get("commands", 0)),
    ]


def _ledger(channel: str, book: Mapping[str, int]) -> list[str]:
    numbers = [book.get(column, 0) for column in COLUMNS]
    rest = numbers[0] - sum(numbers[1:])  # not zero for the moment a message is on its way
    balance = _state("balanced" if rest == 0 else f"{rest:+d} on the way", good=rest == 0)
    return [_cell(channel), *map(_number, numbers), f"<td>{balance}</td>"]


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"<td>{_text(value)}</td>"


def _number(value: object) -> str:
    return f"<td class=n>{_text(value)}</td>"


def _state(word: str, *, good: bool) -> str:
    return f"<span class={'ok' if good else 'bad'}>{_text(word)}</span>"


def _text(value: object) -> str:
    return escape(str(value))


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
