"""MIME structure, transfer encodings, HTML and quotations."""

from __future__ import annotations

import base64
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normalizer.mail import html, mime, quotes
from normalizer.mail.content import TEXT_MAX, Content
from normalizer.parts import Email, File, Unsupported
from tests.unit.email_helpers import CORPUS, email_part, message

REPLIES = [*CORPUS.glob("replies/standard_replies__*.eml"), *CORPUS.glob("replies/html_replies__*.html")]


def content(body: bytes) -> Content:
    return Content(mime.parse(body))


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_parts_end_before_the_line_break_of_the_delimiter(end: bytes) -> None:
    lines = [
        b"Content-Type: multipart/mixed; boundary=ab",
        b"",
        b"--ab",
        b"",
        b"one",
        b"",
        b"--abc",
        b"--ab",
        b"",
        b"two",
    ]
    parsed = mime.parse(end.join([*lines, b"--ab--", b"", b"epilogue"]))

    assert [child.payload() for child in parsed.root.children] == [b"one" + end + end + b"--abc", b"two"]


def leaves(entity: mime.Entity) -> list[mime.Entity]:
    return [leaf for child in entity.children for leaf in leaves(child)] if entity.children else [entity]


@settings(deadline=None)
@given(
    st.recursive(
        st.tuples(st.sampled_from(["text/plain", "image/png"]), st.binary(max_size=60)),
        lambda inner: st.lists(inner, min_size=1, max_size=3),
        max_leaves=8,
    )
)
def test_what_the_email_package_builds_is_taken_apart_again(tree: object) -> None:
    built = build(tree)

    found = [(leaf.mime, leaf.payload()) for leaf in leaves(mime.parse(built.as_bytes(policy=email.policy.SMTP)).root)]

    assert found == flatten(tree)


def build(tree: object) -> EmailMessage:
    made = EmailMessage()
    if isinstance(tree, tuple):
        made.set_content(tree[1], *tree[0].split("/"), cte="base64")
        return made
    assert isinstance(tree, list)
    made.make_mixed()
    for one in tree:
        made.attach(build(one))
    return made


def flatten(tree: object) -> list[tuple[str, bytes]]:
    if isinstance(tree, list):
        return [leaf for one in tree for leaf in flatten(one)]
    assert isinstance(tree, tuple)
    return [tree]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"SGVsbG8=", b"Hello"),
        (b"SGVs\r\n bG8", b"Hello"),
        (b"SGVsbG8=\r\n\r\n_____\r\nMailing list footer\r\n", b"Hello"),
        (b"SGVs\r\nbG8=\r\nSGVs\r\nbG8=\r\n", b"HelloHello"),
        (b"SGV*sbG8", b"Hello"),
        (b"SGVsbG8AA", b"Hello\x00"),
        (b"S", b""),
        (b"====", b""),
        (b"", b""),
    ],
)
def test_damaged_base64_gives_what_is_left_of_it(encoded: bytes, expected: bytes) -> None:
    assert mime.base64(encoded) == expected


@settings(deadline=None)
@given(st.binary())
def test_base64_is_never_refused(data: bytes) -> None:
    mime.base64(data)
    assert mime.base64(base64.encodebytes(data)) == data


def test_a_text_beyond_the_limit_is_an_attachment_too() -> None:
    found = message("Content-Type: text/plain\n\n" + "word " * TEXT_MAX)
    part, whole = found.parts

    assert isinstance(part, Email)
    assert len(part.text) == TEXT_MAX
    assert isinstance(whole, File)
    assert whole.media.size == 5 * TEXT_MAX


def test_more_parts_than_are_listed_are_told_of() -> None:
    piece = "--b\nContent-Type: application/x\n\nx\n"
    found = message("Content-Type: multipart/mixed; boundary=b\n\n" + piece * 100_000)

    assert isinstance(found.parts[-1], Unsupported)
    assert len(found.parts) < 500


def test_ten_thousand_levels_are_as_good_as_a_few() -> None:
    head = "".join(f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n" for level in range(10_000))
    found = message(head + "Content-Type: text/plain\n\ndeep")

    assert isinstance(found.parts[-1], Unsupported)


def test_a_megabyte_of_header_is_bounded() -> None:
    found = message("Subject: " + "x" * 1_000_000 + "\nX-A: b\n" * 50_000 + "\nbody")

    assert found.subject is not None
    assert len(found.subject) <= 65_536


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<div>a<div>b</div></div>", "a\nb"),
        ("a  \n b&nbsp;c", "a b c"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ('<a href="https://x.example/">x.example</a>', "x.example"),
        ('<a href="https://x.example/a">look</a>', "look (https://x.example/a)"),
        ('<a href="javascript:alert(1)">x</a>', "x"),
        ("<a href=mailto:a@b.example>write</a>", "write (a@b.example)"),
        ('<img alt="a > b" src=x>after', "a > bafter"),
        ('<p title="it\'s">a</p>', "a"),
        ("<script>x</script><style>y</style>z", "z"),
        ("<style>never closed", "never closed"),
        ("<!-- a -->b<!-- never closed", "b"),
        ("<![if !mso]>a<![endif]><?xml?>b</>c", "abc"),
        ("1 < 2 & 3 &lt; 4 &euro; &#x20AC; &#99999999999; &nosuch;", "1 < 2 & 3 < 4 € € \ufffd &nosuch;"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>c", "> a\n>\n>> b\n\nc"),
        ("</blockquote></ul></pre>a", "a"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<a", ""),
        ("", ""),
    ],
)
def test_html_as_text(source: str, expected: str) -> None:
    assert html.text(source) == expected


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<!--", '<a "', "<a '\"", "&", "&#9", "<title>", "</", "<a href=", "<blockquote>", "<p>", "<li>"],
)
@pytest.mark.timeout(20)
def test_hostile_html_takes_no_longer_than_other_html(piece: str) -> None:
    html.text(piece * 100_000)


@settings(deadline=None)
@given(st.text() | st.text(alphabet="<>/!-abr\"'=&#; \npblockquote"))
def test_any_html_is_text(source: str) -> None:
    html.text(source).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Hello\n-- \nAnn", "Hello"),
        ("Hello\n\nOn Fri, 20 Nov 2026 at 10:00, Shop wrote:\n> Hi\n>\n> you", "Hello"),
        ("Hello\n\nAm 20.11.26 um 10:00 schrieb Shop:\n\n> Hi", "Hello"),
        ("Hello\n\nLe ven. 20 nov. 2026 à 10:00, Shop <a@b.example>\na écrit :\n\n> Hi", "Hello"),
        ("Hello\n\nEl vie, 20 nov 2026, Shop escribió:\n> Hi", "Hello"),
        ("Hello\n\nShop <a@b.example> schrieb am Fr., 20. Nov. 2026, 10:00:\n\n> Hi", "Hello"),
        ("Hello\n\n20 ноября 2026, Shop <a@b.example> написал:\n> Hi", "Hello"),
        ("Hello\n\n-----Ursprüngliche Nachricht-----\nVon: Shop\n\nHi", "Hello"),
        ("Hello\n\nFrom: Shop\nSent: Friday\nTo: Ann\nSubject: x\n\nHi", "Hello"),
        ("Hello\n\n*De :* Shop\n*Envoyé :* vendredi\n*À :* Ann\n*Objet :* x\n\nHi", "Hello"),
        ("Hello\n\nOn 20 Nov 2026, at 10:00, Shop <a@b.example> wrote:\n\nHi there", "Hello"),
        ("On Fri, Shop wrote:\n> Hi\n\nHello", "Hello"),
    ],
)
def test_an_answer_is_parted_from_what_it_quotes(text: str, own: str) -> None:
    found = quotes.split(text)

    assert found.own == own
    assert all(line.strip() in text for line in found.own.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "> a\nb\n> c\nd",
        "On Monday your colleague wrote:\nwe will pay.\nWhere is it?",
        "From: Berlin\nI travelled by train.",
        "Compare 5 > 3\n> is a prompt\nend",
        "> only a quotation",
        "---\nnot a signature\n----",
        "-- \n" + "a long signature that is the text\n" * 30,
        "",
    ],
)
def test_what_could_be_the_author_s_own_words_is_left_alone(text: str) -> None:
    assert quotes.split(text) == (text.strip(), None)


@settings(deadline=None)
@given(st.text(alphabet="> \nOnwrote:-Ab1@", max_size=200))
def test_parting_loses_no_line(text: str) -> None:
    found = quotes.split(text)
    kept = found.own + "\n" + (found.quoted or "")

    assert found.own in text
    assert found.own or not text.strip()
    assert set(found.own.split()) <= set(text.split())
    assert len(kept) <= len(text) + 1


@pytest.mark.skipif(not REPLIES, reason="talon's replies are only where this project is developed")
@pytest.mark.parametrize("path", REPLIES, ids=lambda path: path.name)
def test_the_quoted_replies_of_many_clients_are_cut(path: Path) -> None:
    source = path.read_bytes()
    found = quotes.split(html.text(source.decode()) if path.suffix == ".html" else email_part(source).text)
    own = " ".join(found.own.split())

    assert own == ("Hello" if path.suffix == ".eml" else "Hi. I am fine. Thanks, Alex")
    assert found.quoted
