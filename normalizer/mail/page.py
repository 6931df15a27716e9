"""A mail as a page that is safe to show: HTML without scripts, forms, and anything fetched from elsewhere.

Two layers: `balance` writes well-formed HTML of known elements, `nh3` (the Rust library ammonia) parses that as a
browser would and keeps what is on the list. Pictures of the mail stay as ``cid:`` links; those from elsewhere keep
their address in ``data-remote-src``, for whoever lets the reader decide; invisible ones are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import nh3

from normalizer.mail.balance import TAGS, Balancer, TooTangled
from normalizer.mail.leaf import Leaf

_TABLE = {"align", "valign", "bgcolor", "width", "height", "colspan", "rowspan", "nowrap"}
_STYLES = {
    *("color", "background-color", "font", "font-family", "font-size", "font-style", "font-weight", "font-variant"),
    *("text-align", "text-decoration", "text-indent", "text-transform", "line-height", "letter-spacing", "white-space"),
    *("border", "border-top", "border-right", "border-bottom", "border-left", "border-collapse", "border-color"),
    *("border-style", "border-width", "border-radius", "border-spacing", "padding", "padding-top", "padding-right"),
    *("padding-bottom", "padding-left", "margin", "margin-top", "margin-right", "margin-bottom", "margin-left"),
    *("width", "height", "max-width", "min-width", "vertical-align", "direction", "list-style-type", "table-layout"),
}
_CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    attributes={
        "*": {"dir", "lang", "title", "align", "style"},
        "a": {"href", "name"},
        "img": {"src", "alt", "width", "height", "border", "data-remote-src"},
        "font": {"color", "size", "face"},
        "blockquote": {"type"},
        "ol": {"start", "type"},
        "ul": {"type"},
        "li": {"value", "type"},
        "table": {*_TABLE, "border", "cellpadding", "cellspacing"},
        **{name: set(_TABLE) for name in ("tr", "td", "th", "tbody", "thead", "tfoot", "col", "colgroup")},
    },
    url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
    link_rel="noopener noreferrer nofollow",
    filter_style_properties=_STYLES,
    attribute_filter=lambda _tag, name, value: None if _foreign(name, value) else value,
)


class Page(NamedTuple):
    """What is stored beside the mail: UTF-8, a fragment without ``<html>`` and ``<body>``.

    Attributes:
        html: the fragment.
        remote_images: pictures from elsewhere, trackers among them.
        trackers: those too small to be seen.
    """

    html: str
    remote_images: int
    trackers: int


def build(leaves: Iterable[Leaf]) -> Page:
    """Make a page of the texts of a mail, in order; HTML that is too tangled to be worth it is shown as text."""
    pieces: list[str] = []
    images = trackers = 0
    for leaf in leaves:
        balancer = _balanced(leaf)
        images, trackers = images + balancer.images, trackers + balancer.trackers
        pieces.append(_CLEANER.clean(balancer.result()))
    return Page("\n".join(pieces), images, trackers)


def _balanced(leaf: Leaf) -> Balancer:
    if leaf.html:
        with suppress(TooTangled):
            balancer = Balancer()
            balancer.html(leaf.source)
            return balancer
    balancer = Balancer()
    balancer.plain(leaf.text)
    return balancer


def _foreign(name: str, value: str) -> bool:
    """Say no to what passes as a URL scheme for one element and must not for another."""
    start = value.lstrip().lower()
    if name == "src":
        return not start.startswith(("cid:", "data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp"))
    return (name == "href" and start.startswith(("data:", "cid:"))) or (name == "style" and "url(" in start)
