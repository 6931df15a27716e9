"""What office suites and security gateways make of a mail: winmail.dat, invitations, signatures, encryption."""

from __future__ import annotations

import struct

from compressed_rtf import compress

from tests.mail_corpus.build import PDF, PNG, add, b64, file, mail, mixed, multipart, part

PLAIN = part("text/plain; charset=utf-8", "The plain text.")


# TNEF: MS-OXTNEF, https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxtnef
def attribute(level: int, number: int, data: bytes) -> bytes:
    return struct.pack("<BII", level, number, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def properties(*found: tuple[int, int, bytes]) -> bytes:
    out = struct.pack("<I", len(found))
    for kind, number, data in found:
        out += struct.pack("<HH", kind, number)
        if kind in {0x1E, 0x1F, 0x102, 0x0D}:
            out += struct.pack("<II", 1, len(data)) + data + b"\0" * (-len(data) % 4)
        else:
            out += data
    return out


def tnef(*attributes: bytes) -> bytes:
    version = attribute(1, 0x00089006, b"\0\0\1\0")
    codepage = attribute(1, 0x00069007, struct.pack("<II", 1252, 0))
    return struct.pack("<IH", 0x223E9F78, 1) + version + codepage + b"".join(attributes)


def wide(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def attached(name: str, data: bytes, *more: tuple[int, int, bytes]) -> bytes:
    return (
        attribute(2, 0x00069002, b"\1\0" + b"\xff" * 12)
        + attribute(2, 0x00018010, b"short~1.pdf\0")
        + attribute(2, 0x0006800F, data)
        + attribute(2, 0x00069005, properties((0x03, 0x3705, b"\1\0\0\0"), (0x1F, 0x3707, wide(name)), *more))
    )


def winmail(name: str, data: bytes, kind: str = "application/ms-tnef", *before: bytes) -> bytes:
    return mixed(
        name,
        *(before or (PLAIN,)),
        part(
            f'{kind}; name="winmail.dat"',
            data,
            'Content-Disposition: attachment; filename="winmail.dat"',
            encoding="base64",
        ),
    )


TWO = tnef(
    attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0"),
    attached("Rechnung März.pdf", PDF),
    attached("logo.png", PNG, (0x1F, 0x370E, wide("image/png")), (0x1F, 0x3712, wide("logo@x"))),
)
FILES = [file("Rechnung März.pdf", PDF, "application/pdf"), file("logo.png", PNG, "image/png", cid="logo@x")]
add("tnef-two-files", winmail("tnef-two-files", TWO), text="The plain text.", attachments=FILES)
add(
    "tnef-as-octet-stream",
    winmail("tnef-as-octet-stream", TWO, "application/octet-stream"),
    text="The plain text.",
    attachments=FILES,
)
ONLY = tnef(
    attribute(
        1,
        0x00069003,
        properties((0x03, 0x3FDE, struct.pack("<I", 65001)), (0x102, 0x1013, "<p>Größe im <b>TNEF</b></p>".encode())),
    ),
    attached("a.pdf", PDF),
)
add(
    "tnef-with-the-only-text",
    winmail("tnef-with-the-only-text", ONLY, "application/ms-tnef", part("text/plain", " \r\n")),
    text="Größe im TNEF",
    html=True,
    attachments=[file("a.pdf", PDF, "application/pdf")],
)
BODY = tnef(attribute(1, 0x00069003, properties((0x1F, 0x1000, wide("Plain text in TNEF: Größe")))))
add(
    "tnef-is-the-mail",
    mail(
        "tnef-is-the-mail",
        b64(BODY),
        content_type='application/ms-tnef; name="winmail.dat"',
        content_transfer_encoding="base64",
    ),
    text="Plain text in TNEF: Größe",
)
RICH = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fnil\fcharset204 Arial;}
{\f2\fnil\fcharset128 Gothic;}}
{\colortbl ;\red0\green0\blue255;}{\*\generator Riched20 5.50.99.2050;}{\info{\author not this}}
\viewkind4\uc1\pard\f0\fs20 Gr\'f6\'dfe \{38\}\par
\f1 \'c6\'e4\'b8\'ec\f0\par \f2 \'93\'fa\'96\{\f0\par
\u8364?\tab \u-10179?\u-8704?\par
{\pict\wmetafile8 0102}{\field{\*\fldinst{HYPERLINK "https://shop.example/a"}}{\fldrslt{\cf1\ul Our page}}},
 {\field{\*\fldinst{HYPERLINK "https://shop.example/b"}}{\fldrslt{
https://shop.example/b}}}\par
}
"""
RICH_TEXT = "Größe {38}\nЖдём\n日本\n€\t😀\nOur page (https://shop.example/a), https://shop.example/b"
WRAPPED = rb"""{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}{\f2\fnil\fcharset2 Symbol;}}
{\colortbl\red0\green0\blue0;}\uc1\pard\plain\deftab360 \f0\fs24
{\*\htmltag19 <html>}{\*\htmltag34 <head><style>p \{ color: red \}</style></head>}
{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0
\'c6\'e4\'b8\'ec, a {\*\htmltag84 &lt;}b{\*\htmltag84 &gt;} <c>
{\*\htmltag84 <b>}\htmlrtf {\b\htmlrtf0 bold{\*\htmltag92 </b>}\htmlrtf }
\htmlrtf0  {\*\htmltag84 <a href="https://shop.example/\'7b1\'7d">}\htmlrtf {\field{\*\fldinst{HYPERLINK "https:"}}
{\fldrslt\cf1\ul \htmlrtf0 link\htmlrtf }\htmlrtf0 \htmlrtf }\htmlrtf0
{\*\htmltag92 </a>}\htmlrtf\par}\htmlrtf0
{\*\mhtmltag84 <a href="file:not-this">}{\*\htmltag72 </p>}{\*\htmltag27 </html>}}}"""
WRAPPED_TEXT = "Ждём, a <b> <c>bold link (https://shop.example/{1})"


def rich(data: bytes, *before: bytes) -> bytes:
    return tnef(attribute(1, 0x00069003, properties(*((0x1F, 0x1000, one) for one in before), (0x102, 0x1009, data))))


for _name, _data, _text, _html in (
    ("tnef-rtf-compressed", compress(RICH), RICH_TEXT, False),
    ("tnef-rtf-uncompressed", compress(RICH, compressed=False), RICH_TEXT, False),
    ("tnef-rtf-around-html", compress(WRAPPED), WRAPPED_TEXT, True),
):
    add(_name, winmail(_name, rich(_data), "application/ms-tnef", part("text/plain", " \r\n")), text=_text, html=_html)
add(
    "tnef-rtf-cut",
    winmail("tnef-rtf-cut", rich(compress(RICH)[:-120]), "application/ms-tnef", part("text/plain", " \r\n")),
    text="Größe {38}\nЖдём\n日本\n€\t😀",
    attachments=[file("winmail.dat", rich(compress(RICH)[:-120]), "application/ms-tnef")],
)
add(
    "tnef-rtf-beside-text",
    winmail(
        "tnef-rtf-beside-text", rich(compress(RICH), wide("As text.")), "application/ms-tnef", part("text/plain", " ")
    ),
    text="As text.",
)
add(
    "tnef-short-name-only",
    winmail(
        "tnef-short-name-only",
        tnef(
            attribute(2, 0x00069002, b"\0" * 14),
            attribute(2, 0x00018010, b"M\xe4rz.txt\0"),
            attribute(2, 0x0006800F, b"text"),
        ),
    ),
    text="The plain text.",
    attachments=[file("März.txt", b"text", "text/plain")],
)
add(
    "tnef-cut",
    winmail("tnef-cut", TWO[:-200]),
    text="The plain text.",
    attachments=[FILES[0], file("winmail.dat", TWO[:-200], "application/ms-tnef")],
)
add(
    "tnef-noise",
    winmail("tnef-noise", b"\x78\x9f\x3e\x22" + b"\xff" * 200),
    text="The plain text.",
    attachments=[file("winmail.dat", b"\x78\x9f\x3e\x22" + b"\xff" * 200, "application/ms-tnef")],
)
add(
    "tnef-is-no-tnef",
    winmail("tnef-is-no-tnef", PDF),
    text="The plain text.",
    attachments=[file("winmail.dat", PDF, "application/ms-tnef")],
)

INVITE = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//corpus//EN
METHOD:{method}
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:1@corpus.example
SUMMARY;LANGUAGE=de:Gespräch über Lieferung\\, Rück
 gabe
DTSTART;TZID=Europe/Berlin:20261123T100000
DTEND;TZID=Europe/Berlin:20261123T110000
LOCATION:Raum 1
ORGANIZER;CN="Ann Mueller":mailto:ann@example.net
ATTENDEE;CN=Shop;PARTSTAT={partstat}:mailto:support@shop.example
BEGIN:VALARM
TRIGGER:-PT15M
DESCRIPTION:not this
END:VALARM
END:VEVENT
END:VCALENDAR
"""
WHAT = """{title}: Gespräch über Lieferung, Rückgabe
When: 2026-11-23 10:00 - 11:00 (Europe/Berlin)
Where: Raum 1
Organizer: Ann Mueller <ann@example.net>"""


def invite(name: str, method: str, title: str, partstat: str = "NEEDS-ACTION", more: str = "") -> None:
    source = INVITE.format(method=method, partstat=partstat)
    calendar = part(f"text/calendar; charset=utf-8; method={method}", source)
    data = source.replace("\n", "\r\n").encode()
    add(
        name,
        mixed(name, part("text/plain; charset=utf-8", "Please come."), calendar, subtype="alternative"),
        text=f"Please come.\n\n{WHAT.format(title=title)}{more}",
        attachments=[file("invite.ics", data, "text/calendar")],
    )


invite("calendar-request", "REQUEST", "Invitation")
invite("calendar-cancel", "CANCEL", "Cancelled event")
invite("calendar-reply", "REPLY", "Answer to an invitation", "ACCEPTED", "\nShop <support@shop.example>: accepted")
WHOLE_DAY = """BEGIN:VCALENDAR
BEGIN:VEVENT
SUMMARY:Fair
DTSTART;VALUE=DATE:20261123
DTEND;VALUE=DATE:20261125
END:VEVENT
END:VCALENDAR
"""
add(
    "calendar-whole-days-attached",
    mixed(
        "calendar-whole-days-attached",
        PLAIN,
        part(
            "text/calendar; name=fair.ics",
            WHOLE_DAY,
            "Content-Disposition: attachment; filename=fair.ics",
            encoding="base64",
        ),
    ),
    text="The plain text.\n\nEvent: Fair\nWhen: 2026-11-23 - 2026-11-24",
    attachments=[file("fair.ics", WHOLE_DAY.replace("\n", "\r\n").encode(), "text/calendar")],
)
add(
    "calendar-is-the-mail",
    mail(
        "calendar-is-the-mail",
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nDTSTART:20261123T090000Z\nEND:VEVENT\nEND:VCALENDAR\n",
        content_type="text/calendar; charset=utf-8",
    ),
    text="Invitation\nWhen: 2026-11-23 09:00 (UTC)",
    attachments=[
        file(
            "invite.ics",
            b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nDTSTART:20261123T090000Z\r\n"
            b"END:VEVENT\r\nEND:VCALENDAR\r\n",
            "text/calendar",
        )
    ],
)
add(
    "calendar-broken",
    mixed(
        "calendar-broken",
        PLAIN,
        part("text/calendar; charset=utf-8", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:never\n:::\n"),
    ),
    text="The plain text.",
    attachments=[file("invite.ics", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:never\r\n:::\r\n", "text/calendar")],
)

SIGNATURE = b"\x30\x80" + bytes(range(100))
add(
    "smime-signed",
    mixed(
        "smime-signed",
        PLAIN,
        part(
            "application/pkcs7-signature; name=smime.p7s",
            SIGNATURE,
            "Content-Disposition: attachment; filename=smime.p7s",
            encoding="base64",
        ),
        subtype="signed",
        more='; protocol="application/pkcs7-signature"; micalg=sha-256',
    ),
    text="The plain text.",
    flags=["signed"],
    attachments=[file("smime.p7s", SIGNATURE, "application/pkcs7-signature")],
)
add(
    "smime-encrypted",
    mail(
        "smime-encrypted",
        b64(SIGNATURE),
        content_type="application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        content_transfer_encoding="base64",
    ),
    text="",
    flags=["encrypted"],
    attachments=[file("smime.p7m", SIGNATURE, "application/pkcs7-mime")],
)


def tlv(tag: int, *inner: bytes) -> bytes:
    data = b"".join(inner)
    size = bytes([len(data)]) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes([tag]) + size + data


SIGNED_DATA = tlv(0x06, bytes.fromhex("2a864886f70d010702"))
DATA = tlv(0x06, bytes.fromhex("2a864886f70d010701"))
OPAQUE = tlv(
    0x30,
    SIGNED_DATA,
    tlv(
        0xA0,
        tlv(
            0x30,
            tlv(2, b"\1"),
            tlv(0x31),
            tlv(0x30, DATA, tlv(0xA0, tlv(4, part("text/plain; charset=utf-8", "Signed within: Größe")))),
            tlv(0x31),
        ),
    ),
)
add(
    "smime-opaque",
    mail(
        "smime-opaque",
        b64(OPAQUE),
        content_type="application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        content_transfer_encoding="base64",
    ),
    text="Signed within: Größe",
    flags=["signed"],
    attachments=[file("smime.p7m", OPAQUE, "application/pkcs7-mime")],
)
CHUNKS = [part("text/plain", "In pieces of ")[:], b"indefinite length"]
BER = (
    b"\x30\x80"
    + SIGNED_DATA
    + b"\xa0\x80\x30\x80"
    + tlv(2, b"\1")
    + tlv(0x31)
    + b"\x30\x80"
    + DATA
    + b"\xa0\x80\x24\x80"
    + b"".join(tlv(4, chunk) for chunk in CHUNKS)
    + b"\0\0" * 6
)
add(
    "smime-opaque-indefinite",
    mail(
        "smime-opaque-indefinite",
        b64(BER),
        content_type="application/x-pkcs7-mime; name=smime.p7m",
        content_transfer_encoding="base64",
    ),
    text="In pieces of indefinite length",
    flags=["signed"],
    attachments=[file("smime.p7m", BER, "application/x-pkcs7-mime")],
)

ARMOR = "-----BEGIN PGP SIGNATURE-----\n\niQEzBAEBCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
SECRET = "-----BEGIN PGP MESSAGE-----\n\nhQEMA1231231231\n=abcd\n-----END PGP MESSAGE-----\n"
add(
    "pgp-mime-signed",
    mixed(
        "pgp-mime-signed",
        PLAIN,
        part("application/pgp-signature; name=signature.asc", ARMOR),
        subtype="signed",
        more='; protocol="application/pgp-signature"; micalg=pgp-sha256',
    ),
    text="The plain text.",
    flags=["signed"],
    attachments=[file("signature.asc", ARMOR.replace("\n", "\r\n").encode(), "application/pgp-signature")],
)
add(
    "pgp-mime-encrypted",
    mixed(
        "pgp-mime-encrypted",
        part("application/pgp-encrypted", "Version: 1\n"),
        part(
            "application/octet-stream; name=encrypted.asc",
            SECRET,
            "Content-Disposition: inline; filename=encrypted.asc",
        ),
        subtype="encrypted",
        more='; protocol="application/pgp-encrypted"',
    ),
    text="",
    flags=["encrypted"],
    attachments=[
        file(None, b"Version: 1\r\n", "application/pgp-encrypted"),
        file("encrypted.asc", SECRET.replace("\n", "\r\n").encode()),
    ],
)
CLEAR = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nThe red one.\n- -- dashes are escaped\n{ARMOR}"
add(
    "pgp-inline-signed",
    mail("pgp-inline-signed", CLEAR),
    text=CLEAR.strip(),
    flags=["signed"],
    stripped="The red one.\n-- dashes are escaped",
)
add("pgp-inline-encrypted", mail("pgp-inline-encrypted", SECRET), text=SECRET.strip(), flags=["encrypted"])
add(
    "pgp-key-attached",
    mixed(
        "pgp-key-attached", PLAIN, part("application/pgp-keys; name=key.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    ),
    text="The plain text.",
    attachments=[file("key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n", "application/pgp-keys")],
)
assert multipart("b") == b"--b--\r\n"
