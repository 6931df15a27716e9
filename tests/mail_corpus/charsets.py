"""Texts of the world in the charsets that mail programs use, and labels that lie."""

# ruff: noqa: RUF001 -- words of other languages

from __future__ import annotations

from tests.mail_corpus.build import add, b64, mail, mixed, part, word

GERMAN = "Grüße aus Köln – schöne Straße"
JAPANESE = "お問い合わせの件、①番の商品は㈱山田です"
CHINESE = "您好,我的订单什么时候到?朱镕基说:谢谢"

# label on the mail, Python's codec that wrote it, what the customer wrote
LABELLED = [
    ("utf-8", "utf-8", "Grüße, čau, привет, 你好, 👋🏽"),
    ("UTF8", "utf-8", "Grüße, 你好"),
    ("iso-8859-1", "cp1252", "Das kostet 5 € – „billig“"),
    ("iso-8859-2", "iso8859-2", "Dzień dobry, gdzie jest zamówienie? Žluťoučký kůň"),
    ("iso-8859-3", "iso8859-3", "Ĝojon, ĉu ŝi venas?"),
    ("iso-8859-4", "iso8859-4", "Sveiki, ķēniņš"),
    ("iso-8859-5", "iso8859-5", "Где мой заказ?"),
    ("iso-8859-6", "iso8859-6", "أين طلبي"),
    ("iso-8859-7", "iso8859-7", "Πού είναι η παραγγελία"),
    ("iso-8859-8-i", "iso8859-8", "איפה ההזמנה שלי"),
    ("iso-8859-9", "cp1254", "Siparişim nerede? – İyi günler"),
    ("iso-8859-13", "iso8859-13", "Labas rytas, kur mano užsakymas"),
    ("iso-8859-15", "iso8859-15", "Où est ma commande à 5 € ?"),
    ("windows-1250", "cp1250", "Děkuji, příliš žluťoučký"),
    ("windows-1251", "cp1251", "Здравствуйте, где посылка?"),
    ("windows-1252", "cp1252", "“Smart” quotes… and a dash —"),
    ("windows-1253", "cp1253", "Καλημέρα σας"),
    ("windows-1254", "cp1254", "Teşekkürler, ığüşöç"),
    ("windows-1255", "cp1255", "שלום וברכה"),
    ("windows-1256", "cp1256", "مرحبا، أين طلبيتي؟"),
    ("windows-1257", "cp1257", "Ačiū, kur siunta?"),
    ("windows-1258", "cp1258", "Don hàng cua tôi dâu"),
    ("cp1252", "cp1252", GERMAN),
    ("windows1252", "cp1252", GERMAN),
    ("cp-850", "cp850", "Gruß aus Köln"),
    ("ibm437", "cp437", "Gruß aus Köln"),
    ("macintosh", "mac-roman", "Grüße vom Mac – ‘schön’"),
    ("koi8-r", "koi8-r", "Добрый день, верните деньги"),
    ("koi8-u", "koi8-u", "Доброго дня, де моє замовлення, ґанок"),
    ("gb2312", "gb18030", CHINESE),
    ("x-gbk", "gb18030", CHINESE),
    ("gb18030", "gb18030", CHINESE + "𠮷"),
    ("hz-gb-2312", "hz", "您好 hello"),
    ("big5", "big5hkscs", "您好,我的訂單在哪裡?啲"),
    ("euc-kr", "cp949", "안녕하세요, 똠방각하 주문"),
    ("ks_c_5601-1987", "cp949", "펲시콜라를 주문했습니다"),
    ("iso-2022-kr", "iso2022-kr", "안녕하세요"),
    ("shift_jis", "cp932", JAPANESE),
    ("windows-31j", "cp932", JAPANESE),
    ("euc-jp", "euc-jp", "こんにちは、荷物はどこですか"),
    ("tis-620", "cp874", "สวัสดีครับ สินค้าอยู่ที่ไหน"),
    ("utf-7", "utf-7", "Grüße + 你好"),
    ("armscii-8-unknown", "utf-8", "Բարեւ"),
    ("x-unknown", "cp1252", GERMAN),
    ("us-ascii", "utf-8", "Größe trotz US-ASCII"),
    ("", "utf-8", "Größe ohne Angabe"),
    ("''", "cp1252", "Größe mit leerer Angabe"),
    ("utf-8", "cp1252", "Größe mit falscher Angabe, schönen Gruß"),
    ("UTF-8; format=flowed", "utf-8", "Größe mit zwei Angaben"),
]


def jis(text: str) -> bytes:
    """Write ISO-2022-JP as Microsoft does: with the NEC characters that JIS X 0208 has no place for."""
    out, inside = b"", False
    for char in text:
        data = char.encode("cp932")
        if inside != (len(data) == 2):
            inside = len(data) == 2
            out += b"\x1b$B" if inside else b"\x1b(B"
        out += bytes(_to_jis(*data)) if inside else data
    return out + (b"\x1b(B" if inside else b"")


def _to_jis(first: int, second: int) -> tuple[int, int]:
    row = (first - (0x70 if first < 0xA0 else 0xB0)) * 2
    if second >= 0x9F:
        return row, second - 0x7E
    return row - 1, second - (0x20 if second > 0x7F else 0x1F)


def label(value: str) -> str:
    return f"text/plain; charset={value}" if value else "text/plain"


for number, (charset, codec, text) in enumerate(LABELLED, 1):
    name = f"charset-{number:02}-{''.join(c if c.isalnum() else '-' for c in charset or 'none').strip('-').lower()}"
    data = text.encode(codec)
    add(name, mail(name, data, content_type=label(charset), content_transfer_encoding="8bit"), text=text)

for charset, codec in [
    ("iso-8859-1", "latin-1"),
    ("gb2312", "gb2312"),
    ("iso-2022-jp", "iso2022-jp"),
    ("koi8-r", "koi8-r"),
    ("big5", "big5"),
]:
    text = {"latin-1": "Größe", "gb2312": "订单", "iso2022-jp": "注文", "koi8-r": "заказ", "big5": "訂單"}[codec]
    name = f"subject-and-body-{charset}"
    body = mail(
        name,
        b64(text.encode(codec)),
        subject=word(text.encode(codec), charset),
        content_type=label(charset),
        content_transfer_encoding="base64",
        **{"from": f"{word(text.encode(codec), charset, 'q')} <ann@example.net>"},
    )
    add(name, body, text=text, subject=text, sender_name=text)

add(
    "charset-iso-2022-jp-ms",
    mail("charset-iso-2022-jp-ms", jis(JAPANESE), content_type=label("iso-2022-jp")),
    text=JAPANESE,
)
add(
    "charset-iso-2022-jp-half-width",
    mail("charset-iso-2022-jp-half-width", b"\x1b(I1-3\x1b(B ok", content_type=label("ISO-2022-JP")),
    text="ｱｭｳ ok",
)
add(
    "charset-iso-2022-jp-unlabelled",
    mail("charset-iso-2022-jp-unlabelled", jis("注文の件"), subject=jis("注文")),
    text="注文の件",
    subject="注文",
)
add(
    "charset-iso-2022-jp-cut",
    mail("charset-iso-2022-jp-cut", b"\x1b$BCmJ8$", content_type=label("iso-2022-jp")),
    text="注文\ufffd",
)
add(
    "charset-utf-16-base64",
    mixed(
        "charset-utf-16-base64",
        part("text/plain; charset=utf-16", "Größe".encode("utf-16"), encoding="base64"),
    ),
    text="Größe",
)
add(
    "charset-utf-8-bom",
    mail("charset-utf-8-bom", b"\xef\xbb\xbfBOM first", content_type=label("utf-8")),
    text="BOM first",
)
add(
    "charset-two-in-one-mail",
    mixed(
        "charset-two-in-one-mail",
        part("text/plain; charset=koi8-r", "Первый".encode("koi8-r")),
        part("text/plain; charset=big5", "第二".encode("big5")),
    ),
    text="Первый\n\n第二",
)
add(
    "charset-nul-bytes",
    mail("charset-nul-bytes", b"a\x00b\x00c", content_type=label("us-ascii"), subject=b"nul\x00nul"),
    text="a\ufffdb\ufffdc",
    subject="nul\ufffdnul",
)
add(
    "charset-lone-surrogates",
    mail("charset-lone-surrogates", b"a\xed\xa0\x80b plenty of ASCII", content_type=label("utf-8")),
)
add(
    "charset-quoted-printable-broken",
    mail(
        "charset-quoted-printable-broken",
        b"Gr=C3=B6=\r\n=C3=9Fe =ZZ = 100% =\r\nend=",
        content_type=label("utf-8"),
        content_transfer_encoding="Quoted-Printable",
    ),
)
