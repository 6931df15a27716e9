"""File names and types of attachments."""

from __future__ import annotations

from urllib.parse import quote

from tests.mail_corpus.build import PDF, PNG, add, file, mixed, part, qp, word

HELLO = part("text/plain; charset=utf-8", "See the file.")
NAME = "Rechnung für März.pdf"
MIME = "application/pdf"


def one(name: str, disposition: str, *, mime: str = MIME, expected: str | None = NAME, data: bytes = PDF) -> None:
    body = part(mime, data, *([disposition] if disposition else []), encoding="base64")
    kind = mime.partition(";")[0].strip().lower()
    add(name, mixed(name, HELLO, body), text="See the file.", attachments=[file(expected, data, kind)])


one("name-2231", f"Content-Disposition: attachment; filename*=utf-8''{quote(NAME)}")
one("name-2231-latin", f"Content-Disposition: attachment; filename*=iso-8859-1'de'{quote(NAME, encoding='latin-1')}")
one(
    "name-2231-continued",
    "Content-Disposition: attachment;\r\n filename*0*=utf-8''Rechnung%20f%C3%BCr;\r\n filename*1*=%20M%C3;\r\n"
    ' filename*2*=%A4rz;\r\n filename*3=".pdf"',
)
one(
    "name-2231-out-of-order",
    'Content-Disposition: attachment; filename*2=".pdf"; filename*0="a b"; filename*1="c"',
    expected="a bc.pdf",
)
one(
    "name-2231-beside-a-plain-one",
    f"Content-Disposition: attachment; filename=\"Rechnung.pdf\"; filename*=UTF-8''{quote(NAME)}",
)
one(
    "name-2231-without-charset",
    "Content-Disposition: attachment; filename*=Rechnung%20a.pdf",
    expected="Rechnung a.pdf",
)
one("name-2047", f'Content-Disposition: attachment; filename="{word(NAME)}"')
one(
    "name-2047-in-pieces",
    f'Content-Disposition: attachment;\r\n filename="{word("Rechnung für")}\r\n {word(" März.pdf")}"',
)
one("name-2047-unquoted", f"Content-Disposition: attachment; filename={word(NAME, encoding='Q')}")
one("name-raw-utf-8", f'Content-Disposition: attachment; filename="{NAME}"')
one("name-of-the-type-only", "Content-Disposition: attachment", mime=f'{MIME}; name="{word(NAME)}"')
one("name-of-the-type-no-disposition", "", mime=f'{MIME}; name="{word(NAME)}"')
one("name-unquoted-with-blanks", "Content-Disposition: attachment; filename=my invoice.pdf", expected="my invoice.pdf")
one("name-with-semicolon", 'Content-Disposition: attachment; filename="a;b.pdf"', expected="a;b.pdf")
one("name-with-quotes", r'Content-Disposition: attachment; filename="a \"b\".pdf"', expected='a "b".pdf')
one("name-never-closed", 'Content-Disposition: attachment; filename="a.pdf', expected="a.pdf")
one("name-with-a-path", 'Content-Disposition: attachment; filename="../../etc/passwd"', expected="etc_passwd")
one("name-with-backslashes", r'Content-Disposition: attachment; filename="C:\\Temp\\a.pdf"', expected="C:_Temp_a.pdf")
one("name-empty", 'Content-Disposition: attachment; filename=""', expected=None)
one("name-none", "Content-Disposition: attachment", expected=None)
one("name-of-300-characters", f'Content-Disposition: attachment; filename="{"n" * 300}.pdf"', expected="n" * 255)
one(
    "type-in-capitals",
    'Content-Disposition: ATTACHMENT; FILENAME="a.png"',
    mime="IMAGE/PNG",
    expected="a.png",
    data=PNG,
)
one("type-unknown", 'Content-Disposition: attachment; filename="a.x"', mime="application/x-who-knows", expected="a.x")
add(
    "type-missing",
    mixed("type-missing", HELLO, part("", PDF, 'Content-Disposition: attachment; filename="a.pdf"', encoding="base64")),
    text="See the file.",
    attachments=[file("a.pdf", PDF, "text/plain")],
)
add(
    "two-files-of-one-name",
    mixed(
        "two-files-of-one-name",
        HELLO,
        part(MIME, PDF, 'Content-Disposition: attachment; filename="a.pdf"', encoding="base64"),
        part(MIME, PDF + b"2", 'Content-Disposition: attachment; filename="a.pdf"', encoding="base64"),
    ),
    text="See the file.",
    attachments=[file("a.pdf", PDF, MIME), file("a.pdf", PDF + b"2", MIME)],
)
add(
    "quoted-printable-file",
    mixed(
        "quoted-printable-file",
        HELLO,
        part(
            "text/csv; charset=utf-8",
            "a;b\nö;=\n",
            "Content-Disposition: attachment; filename=a.csv",
            encoding="quoted-printable",
        ),
    ),
    text="See the file.",
    attachments=[file("a.csv", "a;b\r\nö;=\r\n".encode(), "text/csv")],
)
assert qp(b"=") == b"=3D"
