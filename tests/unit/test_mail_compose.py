"""Mails we build, read back by Python's own parser and by ours."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.mail import compose_fields as fields
from normalizer.mail.address import Mailbox, addresses
from normalizer.mail.compose import Draft, File, base_subject, capped, compose, is_international, reply_subject
from normalizer.mail.compose_body import body_of, cids
from normalizer.mail.identity import message_ids
from normalizer.mail.mime import parse
from normalizer.parts import Image, Media, Text

DATE = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
ID = "m1" + "a" * 71 + "@shop.example"


def draft(**changes: Any) -> Draft:
    pieces: dict[str, Any] = {
        "message_id": ID,
        "date": DATE,
        "sender": Mailbox("Shop", "support@shop.example"),
        "to": (Mailbox("", "ann@example.net"),),
        "subject": "Your parcel",
        "text": "It is on its way.",
        **changes,
    }
    return Draft(**pieces)


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    assert all(not part.defects for part in message.walk())
    return message


def body(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_plain_mail_has_what_a_mail_must_have() -> None:
    message = read(compose(draft()))

    assert message["From"] == "Shop <support@shop.example>"
    assert message["To"] == "ann@example.net"
    assert message["Subject"] == "Your parcel"
    assert message["Date"].datetime == DATE
    assert message["Message-ID"] == f"<{ID}>"
    assert message.get_content_type() == "text/plain"
    assert body(message) == "It is on its way.\n"


def test_the_same_pieces_give_the_same_bytes() -> None:
    pieces = draft(html="<p>x</p>", files=(File(data=b"1", mime="image/png", cid="a@b"),))

    assert compose(pieces) == compose(pieces)


def test_ids_are_never_cut_nor_encoded_however_long() -> None:
    long = "x" * 200 + "@example.net"
    data = compose(draft(in_reply_to=long, references=("1@example.net", long)))

    parsed = parse(data).root.fields
    assert message_ids(parsed.raw("references")) == ["1@example.net", long]
    assert message_ids(parsed.raw("in-reply-to")) == [long]
    assert b"=?" not in data


@pytest.mark.parametrize("name", ["subject", "text", "html", "in_reply_to", "automatic"])
@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\x00\n"])
def test_no_text_can_begin_a_field_of_its_own(name: str, line_break: str) -> None:
    data = compose(draft(**{name: f"x{line_break}Bcc: eve@example.org"}))

    assert read(data)["Bcc"] is None
    assert parse(data).root.fields.raw("bcc") == ""


@pytest.mark.parametrize(
    "bad", ["a@b\r\nBcc: c@d", "a@b\nc", "a b@c", "nobody", "@b", "a@", "a@b@c", "<a@b>", "a@b,c@d", "a\x00@b"]
)
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"no mail address|no domain"):
        fields.address(bad)


@pytest.mark.parametrize(
    ("raw", "wire"),
    [
        ("Ann@Example.NET", "Ann@Example.NET"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("jörg@example.net", "jörg@example.net"),
        ('"john doe"@example.net', '"john doe"@example.net'),
        (" a+b=c@[192.0.2.1] ", "a+b=c@[192.0.2.1]"),
    ],
)
def test_addresses_take_the_form_for_the_wire(raw: str, wire: str) -> None:
    assert fields.address(raw) == wire


def test_names_survive_quotes_commas_and_every_script() -> None:
    boxes = [
        Mailbox('Doe, "Jo" \\ Ann', "a@example.net"),
        Mailbox("Jörg Müller", "b@example.net"),
        Mailbox("株式会社カスタマーサポート部", "c@example.net"),
        Mailbox("eve@evil.example", "d@example.net"),
        Mailbox("=?utf-8?q?x?=", "e@example.net"),
    ]
    data = compose(draft(to=tuple(boxes)))

    theirs = read(data)["To"].addresses
    assert [(one.display_name, one.addr_spec) for one in theirs] == [
        (" ".join(b.name.split()), b.address) for b in boxes
    ]


def test_a_name_of_many_lines_is_read_back() -> None:
    name = "株式会社 長い名前の会社 カスタマーサポート部 " * 4
    data = compose(draft(to=(Mailbox(name, "a@example.net"), Mailbox("B", "b@example.net"))))

    ours = addresses(parse(data).root.fields.raw("to"))
    assert ours == [Mailbox(name.strip(), "a@example.net"), Mailbox("B", "b@example.net")]


def test_many_recipients_are_folded_and_all_there() -> None:
    boxes = tuple(Mailbox("", f"somebody-{number}@department.example.net") for number in range(200))
    data = compose(draft(to=boxes))

    assert [one.addr_spec for one in read(data)["To"].addresses] == [box.address for box in boxes]
    assert max(len(line) for line in data.split(b"\r\n") if not line.startswith(b"Message-ID")) <= 78


def test_html_images_and_attachments_stand_in_the_usual_order() -> None:
    pieces = draft(
        text="See the picture",
        html='<p>See <img src="cid:logo@x"></p>',
        files=(
            File(data=b"\x89PNG" * 50, mime="image/png", name="logo.png", cid="logo@x"),
            File(data=b"%PDF", mime="application/pdf", name="Rechnung für März.pdf"),
        ),
    )
    message = read(compose(pieces))

    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"),
        "application/pdf",
    ]
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "Rechnung für März.pdf"
    assert attachment.get_content() == b"%PDF"
    image = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo@x>"
    assert image.get_content() == b"\x89PNG" * 50
    assert image.get_content_disposition() == "inline"


def test_a_file_name_of_any_length_and_script_comes_through() -> None:
    for name in ("a" * 250 + ".txt", "請求書" * 80 + ".pdf", 'qu"ote\\.txt', "per%cent;semi=.txt"):
        (attachment,) = read(compose(draft(files=(File(data=b"x", mime="text/plain", name=name),)))).iter_attachments()
        assert attachment.get_filename() == name


def test_a_mail_inside_a_mail_is_one_where_it_may_be() -> None:
    inner = compose(draft(text="inner", subject="Inner"))
    (attached,) = read(compose(draft(files=(File(data=inner, mime="message/rfc822"),)))).iter_attachments()
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_content()["Subject"] == "Inner"

    raw = inner + b"\xff\r\n"
    (attached,) = read(compose(draft(files=(File(data=raw, mime="message/rfc822"),)))).iter_attachments()
    assert attached.get_content_type() == "application/octet-stream"
    assert attached.get_content() == raw


@given(st.text(max_size=300), st.text(max_size=200), st.booleans())
def test_any_text_comes_back_and_the_bytes_are_fit_for_any_server(text: str, subject: str, rich: bool) -> None:  # noqa: FBT001
    data = compose(draft(text=text, subject=subject, html=f"<p>{text}" if rich else None))

    assert max(len(line) for line in data.split(b"\r\n") if not line.startswith(b"Message-ID")) <= 78
    assert data.isascii()
    assert b"\x00" not in data
    assert b"\n" not in data.replace(b"\r\n", b"")
    expected = "".join(char for char in "\n".join(_lines(text)) if _fit(char))
    assert "\n".join(_lines(body(read(data)))).rstrip("\n") == expected.rstrip("\n")
    assert parse(data).root.fields.text("subject") == fields.one_line(subject)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _fit(char: str) -> bool:
    return char in "\n\t" or not (char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff")


@given(st.binary(max_size=2_000), st.text(max_size=40), st.text(max_size=20))
def test_any_attachment_comes_back(content: bytes, name: str, mime: str) -> None:
    data = compose(draft(files=(File(data=content, mime=mime, name=name),)))

    assert parse(data).root.children[-1].payload() == content
    assert read(data).get_content_type() == "multipart/mixed"


def test_lines_a_server_might_change_are_encoded() -> None:
    data = compose(draft(text="From here\n.\n--=_m\ntrailing  \n" + "x" * 2_000))

    content = data.partition(b"\r\n\r\n")[2]
    assert b"\r\nFrom " not in b"\r\n" + content
    assert b"\r\n.\r\n" not in content
    assert body(read(data)) == "From here\n.\n--=_m\ntrailing  \n" + "x" * 2_000 + "\n"


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: parcel", "parcel"),
        ("RE: AW: Re[2]: Antw: parcel", "parcel"),
        ("回复\uff1aparcel", "parcel"),
        ("Отв: parcel", "parcel"),
        ("Fwd: parcel", "Fwd: parcel"),
        ("Ref: 1234", "Ref: 1234"),
        ("Reply: what", "Reply: what"),
        ("re:", ""),
        ("", ""),
    ],
)
def test_answers_are_marked_once(subject: str, base: str) -> None:
    assert base_subject(subject) == base
    assert reply_subject(reply_subject(subject)) == reply_subject(subject) == f"Re: {base}".strip()


def test_references_keep_the_root_and_the_newest() -> None:
    many = [f"{number}@example.net" for number in range(100)]

    kept = capped(many)
    assert kept[0] == "0@example.net"
    assert kept[1:] == tuple(many[-19:])
    assert sum(map(len, capped("x" * 800 + f"{number}@example.net" for number in range(30)))) <= 5_000
    assert capped(["no id", "a@b\r\nBcc: c", "<a@b>", "x" * 2_000 + "@c", "good@id", "good@id"]) == ("good@id",)


def test_an_automatic_mail_says_so() -> None:
    message = read(compose(draft(automatic="auto-replied")))

    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert "Auto-Submitted" not in read(compose(draft()))


def test_an_address_that_is_not_ascii_needs_an_international_server() -> None:
    pieces = draft(to=(Mailbox("Jörg", "jörg@example.net"),))

    assert is_international(pieces)
    assert not is_international(draft(to=(Mailbox("Jörg", "joerg@example.net"),)))
    assert "<jörg@example.net>".encode() in compose(pieces)


def test_plain_text_stays_alone_and_formatted_text_has_both_renderings() -> None:
    assert body_of([Text(body="a"), Text(body="b")]) == ("a\n\nb", None)

    text, html = body_of([Text(body="a < b\nc"), Text(body="**bold** <script>x</script>", format="markdown")])
    assert text == "a < b\nc\n\n**bold** <script>x</script>"
    assert html is not None
    assert "<p>a &lt; b<br>\nc</p>" in html
    assert "<strong>bold</strong> &lt;script&gt;" in html


def test_html_is_sent_as_it_is_and_read_as_text() -> None:
    source = "<html><head><style>p {color: red}</style></head><body><p>Hello</p><p>World</p></body></html>"
    text, html = body_of([Text(body=source, format="html")])
    assert html == source
    assert text.split() == ["Hello", "World"]

    _, joined = body_of([Text(body=source, format="html"), Text(body="and more")])
    assert joined is not None
    assert joined.count("<body") == 1
    assert "<p>World</p>" in joined
    assert "<p>and more</p>" in joined


def test_captions_are_text() -> None:
    picture = Image(media=Media(id="m", status="stored", caption="The box"))

    assert body_of([Text(body="See"), picture]).text == "See\n\nThe box"


def test_the_marker_is_in_both_renderings_once_and_inside_the_document() -> None:
    text, html = body_of([Text(body="<html><body><p>x</p></body></html>", format="html")], marker="[ref:k1abc]")

    assert text == "x\n\n[ref:k1abc]"
    assert html is not None
    assert html.count("[ref:k1abc]") == 1
    assert html.index("[ref:k1abc]") < html.index("</body>")
    assert body_of([], marker="[ref:k1abc]").text == "[ref:k1abc]"


def test_images_named_by_the_html_are_found() -> None:
    assert cids("<img src='cid:a@b'><td background=cid:c><a href='cid:d'>") == {"a@b", "c"}
    assert cids(None) == frozenset()
