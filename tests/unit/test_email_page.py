"""The page of a mail: nothing runs, nothing is fetched, and nothing that was said is lost."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normalizer.mail import html
from normalizer.mail.balance import TAGS, VOID
from normalizer.mail.leaf import Leaf
from normalizer.mail.page import Page, build


def page(source: str) -> Page:
    return build([Leaf.of_html(source)])


class Browser(HTMLParser):
    """Lists what is in a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.depth += tag not in VOID

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag not in VOID


HARM = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" jAvAsCrIpT&#58;alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<iframe src="https://evil.example"></iframe>',
    '<object data="https://evil.example"></object><embed src=x>',
    "<form action=https://evil.example><input name=password><button>go</button></form>",
    '<meta http-equiv="refresh" content="0;url=https://evil.example"><base href="//evil.example">',
    '<link rel=stylesheet href="https://evil.example/a.css"><style>@import "https://evil.example"</style>',
    '<div style="background:url(https://evil.example/a.png)">x</div>',
    '<div style="background:u\\72l(https://evil.example/a.png)">x</div>',
    '<table background="https://evil.example/a.png"><tr><td background="https://evil.example">x</td></tr></table>',
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    '<math><mi xlink:href="data:x,<script>alert(1)</script>">',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<img srcset='https://evil.example/a.png 2x' src='https://evil.example/a.png'>",
    '<video poster="https://evil.example/a.png" src="https://evil.example"></video>',
    '<img src="data:image/svg+xml;base64,PHN2Zz4=">',
    "<a href='https://x.example' target=_top onclick=evil()>x</a>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<p style='position:fixed;top:0;left:0;width:100%'>over everything</p>",
]


def check(source: str) -> Browser:
    """See that a page has only what is allowed, and fetches nothing."""
    browser = Browser(page(source).html)
    for tag, attributes in browser.tags:
        assert tag in TAGS
        assert not [name for name in attributes if name.startswith("on") or name in {"srcset", "background", "action"}]
        if tag == "img":
            assert (attributes.get("src") or "cid:").startswith(("cid:", "data:image/"))
        assert "url" not in (attributes.get("style") or "").lower()
        assert "position" not in (attributes.get("style") or "").lower()
        href = (attributes.get("href") or "https:").lower()
        assert href.startswith(("http:", "https:", "mailto:", "tel:", "/", "#", "?")) or ":" not in href
    return browser


@pytest.mark.parametrize("source", HARM)
def test_nothing_harmful_is_left(source: str) -> None:
    check(source)
    check(f"<p>before</p><table><tr><td>{source}</td></tr></table><b>after")


@settings(deadline=None)
@given(st.lists(st.sampled_from(HARM) | st.sampled_from(["<", ">", '"', "'", "<p>", "</", "<!--", "-->", "&", " x="])))
def test_nor_in_any_mixture(pieces: list[str]) -> None:
    check("".join(pieces))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<b>", "</b>", "<p>", "</p>", "<table>", "<tr>", "<td>", "</td>", "</table>", "<i>"])))
def test_every_tag_is_closed(pieces: list[str]) -> None:
    assert check("x".join(pieces)).depth == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["p", "div", "b", "li", "td", "blockquote"]), st.text("abc <&", max_size=8))))
def test_what_was_said_stays(pieces: list[tuple[str, str]]) -> None:
    source = "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in pieces)

    assert squeezed(html.text(page(source).html)) == squeezed(html.text(source))


def squeezed(text: str) -> str:
    """Leave out what depends on the layout: a cell without a table is none."""
    return re.sub(r"[\s>-]", "", text)


def test_pictures_of_the_mail_stay_and_others_are_told_of() -> None:
    found = page(
        '<img src="cid:logo%40x" alt="logo"><img src="https://cdn.example/b.png?a=1&amp;b=2" width="600">'
        '<img src="https://track.example/o.gif" width="1" height="1"><img src="//t.example/x" style="display: none">'
    )
    images = [attributes for tag, attributes in Browser(found.html).tags if tag == "img"]

    assert (found.remote_images, found.trackers) == (3, 2)
    assert images == [
        {"src": "cid:logo@x", "alt": "logo"},
        {"data-remote-src": "https://cdn.example/b.png?a=1&b=2", "width": "600"},
    ]


def test_links_tell_nobody_where_they_were_followed_from() -> None:
    ((_, link),) = Browser(page('<a href="https://shop.example/?a=1&amp;b=2">x</a>').html).tags

    assert link == {"href": "https://shop.example/?a=1&b=2", "rel": "noopener noreferrer nofollow"}


def test_plain_and_html_parts_are_one_page() -> None:
    found = build([Leaf.of_text("a < b\n  c"), Leaf.of_html("<p>d</p>")])

    assert html.text(found.html).replace(" ", "") == "a<bc\n\nd"
    assert "a &lt; b\n  c" in found.html


def test_what_would_make_a_parser_copy_for_ever_is_shown_as_text() -> None:
    source = "".join(f"<font color=c{n}>" for n in range(150)) + "<p>x" * 5_000
    found = page(source)

    assert len(found.html) < 100_000
    assert "<font" not in found.html
    assert html.text(found.html).count("x") == 5_000
