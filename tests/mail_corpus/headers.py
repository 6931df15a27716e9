"""Header fields as the world writes them."""

from __future__ import annotations

from tests.mail_corpus.build import add, b64, crlf, header, mail, word

TEXT = "Where is it?"


def one(name: str, *lines: bytes | str, sender: str | None = "ann@example.net", **fields: str | bytes | None) -> None:
    """A mail whose header is peculiar; `expect_…` says what must come out."""
    expected = {key.removeprefix("expect_"): value for key, value in fields.items() if key.startswith("expect_")}
    rest = {key: value for key, value in fields.items() if not key.startswith("expect_")}
    add(name, mail(name, TEXT, *lines, **rest), text=TEXT, sender=sender, **expected)


one("subject-folded", subject="one\r\n\ttwo\r\n  three", expect_subject="one two three")
one("subject-empty", subject="", expect_subject=None)
one("subject-missing", subject=None, expect_subject=None)
one("subject-two-words-of-one-charset", subject=f"{word('Grö')}\r\n {word('ße')}", expect_subject="Größe")
one(
    "subject-character-cut-in-two",
    subject=f"{word('日本'.encode()[:4])} {word('日本'.encode()[4:])}",
    expect_subject="日本",
)
one("subject-q-with-underscores", subject="=?iso-8859-1?Q?Gr=F6=DFe_und_mehr?=", expect_subject="Größe und mehr")
one("subject-q-with-spaces", subject="=?utf-8?Q?not allowed but seen?=", expect_subject="not allowed but seen")
one("subject-word-inside-a-word", subject=f"a{word('ö')}b", expect_subject="aöb")
one("subject-word-in-quotes", subject=f'"{word("ö")}"', expect_subject='"ö"')
one("subject-language-tag", subject="=?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", expect_subject="Grüße")
one("subject-lower-case-encoding", subject=word("Größe", encoding="b"), expect_subject="Größe")
one("subject-base64-without-padding", subject="=?utf-8?B?R3LDtsOf?=", expect_subject="Größ")
one("subject-base64-half-a-character", subject="=?utf-8?B?R3LDtsO?=", expect_subject="Grö\ufffd")
one("subject-unknown-charset", subject="=?x-martian?Q?hello?=", expect_subject="hello")
one("subject-raw-utf-8", subject="Größe 你好".encode(), expect_subject="Größe 你好")
one("subject-raw-latin-1", subject="Größe".encode("latin-1"), expect_subject="Größe")
one(
    "subject-raw-gb2312-like-the-body",
    subject="我的订单".encode("gb2312"),
    content_type="text/plain; charset=gb2312",
    expect_subject="我的订单",
)
one(
    "subject-raw-koi8-r-like-the-body",
    subject="Мой заказ".encode("koi8-r"),
    content_type="text/plain; charset=koi8-r",
    expect_subject="Мой заказ",
)
one("subject-line-break-in-a-word", subject="=?utf-8?Q?a=0D=0ABcc:_evil?=", expect_subject="a  Bcc: evil")
one("subject-twice", "Subject: the second", subject="the first", expect_subject="the first")
one("subject-long", subject="x" * 900, expect_subject="x" * 900)
one("subject-mixed-charsets", subject=f"{word('ö', 'latin-1')} {word('заказ', 'koi8-r')}", expect_subject="öзаказ")
one("subject-not-an-encoded-word", subject="=?what is =? this?=", expect_subject="=?what is =? this?=")

one("from-quoted-comma", **{"from": '"Mueller, Ann" <ann@example.net>'}, expect_sender_name="Mueller, Ann")
one("from-encoded-comma", **{"from": f"{word('Müller, Ann')} <ann@example.net>"}, expect_sender_name="Müller, Ann")
one("from-comment", **{"from": "ann@example.net (Ann (the first) Mueller)"}, expect_sender_name="Ann the first Mueller")
one("from-bare", **{"from": "ann@example.net"})
one("from-no-space", **{"from": "Ann<ann@example.net>"}, expect_sender_name="Ann")
one("from-never-closed", **{"from": "Ann <ann@example.net"}, expect_sender_name="Ann")
one("from-two", **{"from": "Ann <ann@example.net>, Bob <bob@example.net>"}, expect_sender_name="Ann")
one("from-name-like-an-address", **{"from": '"boss@shop.example" <ann@example.net>'})
one(
    "from-encoded-name-with-an-address",
    **{"from": f"{word('Boss <boss@shop.example>', encoding='Q')} <ann@example.net>"},
)
one("from-raw-utf-8", **{"from": "Änn <ann@example.net>".encode()}, expect_sender_name="Änn")
one("from-international", **{"from": "Jürgen <jürgen@müller.example>".encode()}, sender="jürgen@müller.example")
one("from-source-route", **{"from": "Ann <@relay.example:ann@example.net>"})
one("from-group", **{"from": "Everybody: Ann <ann@example.net>;"}, expect_sender_name="Ann")
one("from-missing-sender-there", "Sender: Ann <ann@example.net>", **{"from": None})
one("from-upper-case", **{"from": "ANN@EXAMPLE.NET"})
one("from-folded", **{"from": '"Ann\r\n Mueller"\r\n <ann@example.net>'}, expect_sender_name="Ann Mueller")
one("from-single-quotes", **{"from": "'Ann' <ann@example.net>"}, expect_sender_name="Ann")
one("to-undisclosed", to="undisclosed-recipients:;")
one("to-thousand", to=", ".join(f"u{number}@example.net" for number in range(1_000)))

DATES = [
    ("named-zone", "20 Nov 26 10:11 EST", "2026-11-20T15:11:00Z"),
    ("comment", "Fri, 20 Nov 2026 10:11:12 +0100 (CET)", "2026-11-20T09:11:12Z"),
    ("asctime", "Fri Nov 20 10:11:12 2026", "2026-11-20T10:11:12Z"),
    ("leap-second", "Fri, 20 Nov 2026 10:11:60 -0000", "2026-11-20T10:11:59Z"),
    ("iso-8601", "2026-11-20T10:11:12+01:00", "2026-11-20T09:11:12Z"),
    ("dots-for-colons", "Fri, 20 Nov 2026 10.11.12 +0100", "2026-11-20T09:11:12Z"),
    ("zone-with-colon", "Fri, 20 Nov 2026 10:11:12 +01:00", "2026-11-20T09:11:12Z"),
    ("gmt-offset", "Fri, 20 Nov 2026 10:11:12 GMT+0100", "2026-11-20T09:11:12Z"),
    ("no-weekday-comma", "Fri 20 Nov 2026 10:11:12 +0100", "2026-11-20T09:11:12Z"),
    ("wrong-weekday", "Mon, 20 Nov 2026 10:11:12 +0100", "2026-11-20T09:11:12Z"),
    ("folded", "Fri, 20 Nov 2026\r\n\t10:11:12 +0100", "2026-11-20T09:11:12Z"),
    ("day-32", "Fri, 32 Nov 2026 10:11:12 +0000", None),
    ("absurd-zone", "Fri, 20 Nov 2026 10:11:12 +9999", None),
    ("year-99999", "Fri, 20 Nov 99999 10:11:12 +0000", None),
    ("words", "yesterday at noon", None),
    ("empty", "", None),
    ("missing", None, None),
]
for name, value, expected in DATES:
    one(f"date-{name}", date=value, expect_sent_at=expected)

one("id-missing", message_id=None, subject="id-missing", expect_subject="id-missing")
one("id-empty", message_id="<>", subject="id-empty", expect_subject="id-empty")
one("id-without-at", message_id="<12345>", subject="id-without-at", expect_subject="id-without-at")
one("id-twice", "Message-ID: <second.id-twice@corpus.example>", expect_provider_id="id-twice@corpus.example")
one("id-folded", message_id="\r\n <folded.id\r\n @corpus.example>", expect_provider_id="folded.id@corpus.example")
one("id-without-brackets", message_id="bare.id@corpus.example", expect_provider_id="bare.id@corpus.example")
one("id-with-comment", message_id="<c.id@corpus.example> (added by relay)", expect_provider_id="c.id@corpus.example")

one("space-before-the-colon", "X-Odd : yes", "Reply-To : desk@example.net")
one("empty-field-name", ": nothing", "X-After: yes")
one("tabs-and-blanks", "X-Tab:\tvalue\t", "X-Blank:   ")
add(
    "separator-of-a-mailbox-file",
    b"From ann@example.net Fri Nov 20 10:00:00 2026\r\n" + mail("separator-of-a-mailbox-file", TEXT),
    text=TEXT,
)
add(
    "line-that-is-no-field",
    header("line-that-is-no-field") + b"this is no field\r\n\r\n" + crlf(TEXT),
    text=f"this is no field\n\n{TEXT}",
)
add("bare-line-feeds", mail("bare-line-feeds", TEXT).replace(b"\r\n", b"\n"), text=TEXT)
add("no-body", header("no-body"), text="")
add("no-empty-line-at-the-end", header("no-empty-line-at-the-end").removesuffix(b"\r\n"), text="")
add("only-a-subject", b"Subject: only-a-subject\r\n", text="", subject="only-a-subject", sender=None)
add(
    "only-a-body",
    b"\r\nonly a body, no header at all\r\n",
    text="only a body, no header at all",
    subject=None,
    sender=None,
)
add(
    "no-header-no-empty-line",
    b"Where is my parcel?\r\nRegards, Ann\r\n",
    sender=None,
    subject=None,
    text="Where is my parcel?\nRegards, Ann",
)
add("noise", bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 4)
add("raw-bytes-everywhere", b"From: \xff\xfe <\xc0@\x80>\r\nSubject: \xed\xa0\x80\r\n\r\n\xf8\x88\x80")
add("carriage-returns-only", b"From: ann@example.net\rSubject: carriage-returns-only\r\rWhere is it?")
add(
    "encoding-in-capitals-with-blanks",
    mail("encoding-in-capitals-with-blanks", b64(TEXT.encode()), content_transfer_encoding=" BASE64 "),
    text=TEXT,
)
add(
    "encoding-unknown",
    mail("encoding-unknown", TEXT, content_transfer_encoding="x-rot13"),
    text=TEXT,
)
add(
    "content-type-broken",
    mail("content-type-broken", TEXT, content_type="text; charset"),
    text=TEXT,
)
