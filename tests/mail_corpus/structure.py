"""Multiparts of every shape, encodings that are damaged, mails in mails."""

from __future__ import annotations

from tests.mail_corpus.build import PDF, PNG, add, b64, crlf, file, mail, mixed, multipart, part

PLAIN = part("text/plain; charset=utf-8", "The plain text.")
HTML = part("text/html; charset=utf-8", "<p>The <b>HTML</b> text.</p>")
PICTURE = part(
    "image/png; name=logo.png",
    PNG,
    "Content-ID: <logo@x>",
    "Content-Disposition: inline; filename=logo.png",
    encoding="base64",
)
INVOICE = part("application/pdf", PDF, 'Content-Disposition: attachment; filename="a.pdf"', encoding="base64")
LOGO = file("logo.png", PNG, "image/png", cid="logo@x")
BILL = file("a.pdf", PDF, "application/pdf")


def nest(subtype: str, boundary: str, *parts: bytes) -> bytes:
    return part(f"multipart/{subtype}; boundary={boundary}", multipart(boundary, *parts))


WITH_LOGO = part("text/html; charset=utf-8", '<p>See <img src="cid:logo@x" alt="[logo]"></p>')

add("alternative", mixed("alternative", PLAIN, HTML, subtype="alternative"), text="The plain text.", html=True)
add(
    "alternative-html-first",
    mixed("alternative-html-first", HTML, PLAIN, subtype="alternative"),
    text="The plain text.",
    html=True,
)
add(
    "alternative-empty-plain",
    mixed("alternative-empty-plain", part("text/plain", " \r\n"), HTML, subtype="alternative"),
    text="The HTML text.",
    html=True,
)
add("html-only", mail("html-only", "<p>Only <i>this</i></p>", content_type="text/html"), text="Only this", html=True)
add(
    "related-in-alternative-in-mixed",
    mixed(
        "related-in-alternative-in-mixed",
        nest("alternative", "alt", PLAIN, nest("related", "rel", WITH_LOGO, PICTURE)),
        INVOICE,
    ),
    text="The plain text.",
    html=True,
    attachments=[LOGO, BILL],
)
add(
    "alternative-in-related",
    mixed("alternative-in-related", nest("alternative", "alt", PLAIN, WITH_LOGO), PICTURE, subtype="related"),
    text="The plain text.",
    html=True,
    attachments=[LOGO],
)
add(
    "related-only",
    mixed("related-only", WITH_LOGO, PICTURE, subtype="related", more='; type="text/html"'),
    text="See [logo]",
    html=True,
    attachments=[LOGO],
)
add(
    "mixed-in-alternative",
    mixed("mixed-in-alternative", PLAIN, nest("mixed", "mix", HTML, INVOICE), subtype="alternative"),
    text="The plain text.",
    html=True,
    attachments=[BILL],
)
add(
    "text-file-text",
    mixed("text-file-text", PLAIN, INVOICE, part("text/plain", "And after.")),
    text="The plain text.\n\nAnd after.",
    attachments=[BILL],
)
add("file-only", mixed("file-only", INVOICE), text="", attachments=[BILL])
add(
    "file-is-the-mail",
    mail(
        "file-is-the-mail",
        b64(PDF),
        content_type="application/pdf; name=a.pdf",
        content_transfer_encoding="base64",
        content_disposition="attachment",
    ),
    text="",
    attachments=[BILL],
)
add(
    "text-as-a-file",
    mixed("text-as-a-file", PLAIN, part("text/plain", "log", "Content-Disposition: attachment; filename=a.log")),
    text="The plain text.",
    attachments=[file("a.log", b"log", "text/plain")],
)
add("mixed-of-one", mixed("mixed-of-one", PLAIN), text="The plain text.")
add(
    "unknown-multipart",
    mixed("unknown-multipart", PLAIN, INVOICE, subtype="x-odd"),
    text="The plain text.",
    attachments=[BILL],
)
add(
    "preamble-and-epilogue",
    mail(
        "preamble-and-epilogue",
        multipart("b", PLAIN, preamble=b"This is MIME.\r\n", epilogue=b"bye\r\n"),
        content_type="multipart/mixed; boundary=b",
    ),
    text="The plain text.",
)
add(
    "boundary-never-closed",
    mail(
        "boundary-never-closed", multipart("b", PLAIN, INVOICE, end=False), content_type="multipart/mixed; boundary=b"
    ),
    text="The plain text.",
    attachments=[BILL],
)
add(
    "boundary-inner-never-closed",
    mail(
        "boundary-inner-never-closed",
        multipart("out", part("multipart/alternative; boundary=in", multipart("in", PLAIN, HTML, end=False)), INVOICE),
        content_type="multipart/mixed; boundary=out",
    ),
    text="The plain text.",
    html=True,
    attachments=[BILL],
)
add(
    "boundary-missing",
    mail("boundary-missing", "There is text.", content_type="multipart/mixed"),
    text="There is text.",
)
add(
    "boundary-never-used",
    mail("boundary-never-used", "There is text.", content_type="multipart/mixed; boundary=b"),
    text="There is text.",
)
add(
    "boundary-prefix-of-another",
    mail(
        "boundary-prefix-of-another",
        multipart("b", part("multipart/alternative; boundary=bb", multipart("bb", PLAIN)), INVOICE),
        content_type="multipart/mixed; boundary=b",
    ),
    text="The plain text.",
    attachments=[BILL],
)
add(
    "boundary-same-inside",
    mail(
        "boundary-same-inside",
        multipart("b", part("multipart/alternative; boundary=b", multipart("b", PLAIN))),
        content_type="multipart/mixed; boundary=b",
    ),
)
add(
    "boundary-with-odd-characters",
    mail(
        "boundary-with-odd-characters",
        multipart("a b'()+_,-./:=?c", PLAIN),
        content_type='multipart/mixed; boundary="a b\'()+_,-./:=?c"',
    ),
    text="The plain text.",
)
add(
    "boundary-with-blanks-behind",
    mail(
        "boundary-with-blanks-behind",
        b"--b  \r\n" + PLAIN + b"\r\n--b--  \r\n",
        content_type="multipart/mixed; boundary=b",
    ),
    text="The plain text.",
)
add("part-without-header", mixed("part-without-header", b"\r\nNo header, only text."), text="No header, only text.")
add("part-empty", mixed("part-empty", b"", PLAIN), text="The plain text.")
add(
    "depth-of-twenty",
    mail(
        "depth-of-twenty",
        b"".join(f'--b{n}\r\nContent-Type: multipart/mixed; boundary="b{n + 1}"\r\n\r\n'.encode() for n in range(19))
        + b"--b19\r\n\r\ndeep inside",
        content_type="multipart/mixed; boundary=b0",
    ),
    text="deep inside",
)
add(
    "depth-of-sixty",
    mail(
        "depth-of-sixty",
        b"".join(f'--b{n}\r\nContent-Type: multipart/mixed; boundary="b{n + 1}"\r\n\r\n'.encode() for n in range(60))
        + b"--b60\r\n\r\ndeep inside",
        content_type="multipart/mixed; boundary=b0",
    ),
)
add("six-hundred-parts", mixed("six-hundred-parts", *[part("application/x", f"{n}") for n in range(600)]))

BROKEN = {
    "junk": (b"SGV*s b\r\nG8=", b"Hello"),
    "no-padding": (b"SGVsbG8", b"Hello"),
    "padding-in-the-middle": (b"SGVsbG8=\r\nSGVsbG8=\r\n", b"HelloHello"),
    "footer-behind": (b"SGVsbG8=\r\n\r\n____\r\nA list footer, see http://x\r\n", b"Hello"),
    "one-character-too-many": (b"SGVsbG8AA", b"Hello\x00"),
    "long-line": (b64(PDF * 60, 100_000), PDF * 60),
    "nothing": (b"", b""),
}
for name, (encoded, data) in BROKEN.items():
    full = f"base64-{name}"
    broken = part(
        "application/x", encoded, "Content-Transfer-Encoding: base64", "Content-Disposition: attachment; filename=a"
    )
    add(full, mixed(full, PLAIN, broken), text="The plain text.", attachments=[file("a", data, "application/x")])
UU = b"begin 644 a.txt\r\n%2&5L;&\\\r\n`\r\nend\r\n"
add(
    "uuencoded-part",
    mixed(
        "uuencoded-part",
        PLAIN,
        part(
            "application/x",
            UU,
            "Content-Transfer-Encoding: x-uuencode",
            "Content-Disposition: attachment; filename=a.txt",
        ),
    ),
    text="The plain text.",
    attachments=[file("a.txt", b"Hello", "application/x")],
)
add(
    "uuencoded-in-the-text",
    mail("uuencoded-in-the-text", b"See below.\r\n\r\n" + UU + b"\r\nBye.\r\n"),
    text="See below.\n\n\nBye.",
    attachments=[file("a.txt", b"Hello", "text/plain")],
)

INNER = mail("inner-of-forwarded", "Inner text.", subject="Inner subject", **{"from": "bob@example.org"})
add(
    "mail-in-a-mail",
    mixed("mail-in-a-mail", PLAIN, part("message/rfc822", INNER)),
    text="The plain text.",
    attachments=[file("message.eml", INNER, "message/rfc822")],
)
add(
    "mail-in-a-mail-named",
    mixed("mail-in-a-mail-named", PLAIN, part("message/rfc822; name=Complaint.eml", INNER)),
    text="The plain text.",
    attachments=[file("Complaint.eml", INNER, "message/rfc822")],
)
add(
    "mail-in-a-mail-in-base64",
    mixed("mail-in-a-mail-in-base64", PLAIN, part("message/rfc822", INNER, encoding="base64")),
    text="The plain text.",
    attachments=[file("message.eml", INNER, "message/rfc822")],
)
add(
    "mail-in-a-mail-and-nothing-else",
    mixed("mail-in-a-mail-and-nothing-else", part("message/rfc822", INNER)),
    text="From: bob@example.org\nTo: Shop <support@shop.example>\nDate: Fri, 20 Nov 2026 10:00:00 +0100\n"
    "Subject: Inner subject\n\nInner text.",
    attachments=[file("message.eml", INNER, "message/rfc822")],
)
NESTED = INNER
for level in range(30):
    NESTED = mail(f"forwarded-{level}", NESTED, content_type="message/rfc822")
add(
    "mail-in-a-mail-thirty-times",
    mixed("mail-in-a-mail-thirty-times", PLAIN, part("message/rfc822", NESTED)),
    text="The plain text.",
    attachments=[file("message.eml", NESTED, "message/rfc822")],
)
add(
    "digest",
    mixed("digest", b"\r\n" + INNER, subtype="digest"),
    text="From: bob@example.org\nTo: Shop <support@shop.example>\nDate: Fri, 20 Nov 2026 10:00:00 +0100\n"
    "Subject: Inner subject\n\nInner text.",
    attachments=[file("message.eml", INNER, "message/rfc822")],
)
add(
    "message-partial",
    mail("message-partial", "Part of a mail", content_type='message/partial; id="x"; number=1; total=2'),
    text="",
    attachments=[file(None, b"Part of a mail", "message/partial")],
)
add(
    "external-body",
    mixed(
        "external-body",
        PLAIN,
        part('message/external-body; access-type=URL; URL="https://files.example/a"', "Content-Type: image/png\n\n"),
    ),
    text="The plain text.",
    attachments=[file(None, crlf("Content-Type: image/png\n\n"), "message/external-body")],
)
add(
    "content-id-without-brackets",
    mixed(
        "content-id-without-brackets",
        WITH_LOGO,
        part("image/png", PNG, "Content-ID: logo@x", "Content-Disposition: inline", encoding="base64"),
        subtype="related",
    ),
    text="See [logo]",
    html=True,
    attachments=[file(None, PNG, "image/png", cid="logo@x")],
)
add(
    "inline-picture-without-content-id",
    mixed(
        "inline-picture-without-content-id",
        PLAIN,
        part("image/png", PNG, "Content-Disposition: inline; filename=a.png", encoding="base64"),
    ),
    text="The plain text.",
    attachments=[file("a.png", PNG, "image/png")],
)
add(
    "two-html-parts",
    mixed("two-html-parts", HTML, part("text/html", "<p>Second.</p>")),
    text="The HTML text.\n\nSecond.",
    html=True,
)
