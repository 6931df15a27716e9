"""What is written: flowed text, HTML, answers in many languages."""

# ruff: noqa: RUF001, PLE2502 -- words of other languages

from __future__ import annotations

import base64

from tests.mail_corpus.build import PNG, add, file, mail

QUESTION = "> Which colour would you like?\n> Kind regards, the shop"
ANSWER = "The red one, please."


def flowed(name: str, body: str, expected: str, more: str = "", **fields: str) -> None:
    add(name, mail(name, body, content_type=f"text/plain; charset=utf-8; format=flowed{more}", **fields), text=expected)


flowed(
    "flowed",
    "This is one \nparagraph of \nthree lines.\n\nAnd a second.\n",
    "This is one paragraph of three lines.\n\nAnd a second.",
)
flowed("flowed-delsp", "日本 \n語のメ \nール\n", "日本語のメール", "; delsp=yes")
flowed(
    "flowed-quotes",
    "> one \n> two\n>> deeper \n>> still\n> back\nown \ntext\n",
    "> one two\n>> deeper still\n> back\nown text",
)
flowed("flowed-quote-depth-changes", "> soft \n>> other\nown\n", "> soft\n>> other\nown")
flowed(
    "flowed-stuffed", " From the start\n > not a quote\n  two spaces\n", "From the start\n> not a quote\n two spaces"
)
flowed("flowed-signature", "Hello \nthere\n-- \nAnn\n", "Hello there\n-- \nAnn")
flowed("flowed-upper-case", "one \ntwo\n", "one two", "", content_transfer_encoding="7bit")
flowed("flowed-last-line-soft", "one \ntwo ", "one two")
add(
    "fixed-keeps-blanks",
    mail("fixed-keeps-blanks", "one \ntwo\n", content_type="text/plain; format=fixed"),
    text="one \ntwo",
)


def page(name: str, source: str, expected: str, **more: object) -> None:
    add(name, mail(name, source, content_type="text/html; charset=utf-8"), text=expected, html=True, **more)


page(
    "html-outlook",
    '<html xmlns:o="urn:x"><head><style>p{color:red}</style><title>t</title></head><body><div class=WordSection1>'
    "<p class=MsoNormal>Hello,<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p>"
    "<p class=MsoNormal>where is it?<o:p></o:p></p>"
    "</div></body></html>",
    "Hello,\n\nwhere is it?",
)
page(
    "html-table",
    "<table><tr><td>Order</td><td>17</td></tr><tr><td>Sum</td><td>5&nbsp;&euro;</td></tr></table>",
    "Order 17\nSum 5 €",
)
page("html-list", "<p>I want:</p><ul><li>a<li>b</ul><ol><li>c</li><li>d</li></ol>", "I want:\n\n- a\n- b\n\n1. c\n2. d")
page("html-link", '<a href="https://shop.example/o/17">my order</a>', "my order (https://shop.example/o/17)")
page(
    "html-script",
    "<script>alert(1)</script><p onclick=evil()>Hi<img src=x onerror=evil()></p><iframe src=//evil></iframe>",
    "Hi",
)
page("html-entities", "&lt;3 &amp; &#8364; &#x1F600; &nosuch; &#99999999999;", "<3 & € 😀 &nosuch; \ufffd")
page("html-never-closed", "<div><b>bold <i>both</b> Text <a href=", "bold both Text")
page("html-comment", "a<!-- <p>hidden</p> -->b<![CDATA[c]]>d", "abd")
page(
    "html-tracker",
    '<p>News</p><img src="https://track.example/o.gif?u=1" width="1" height="1">'
    '<img src="https://cdn.example/banner.png" alt="">',
    "News",
    remote_images=2,
    trackers=1,
)
page("html-charset-of-meta", '<meta charset="iso-8859-1"><p>Grüße</p>', "Grüße")
page("html-deep", "<div>" * 3000 + "deep" + "</div>" * 3000, "deep")

SCREENSHOT = base64.b64encode(PNG).decode()
page(
    "html-picture-in-a-data-url",
    f'<p>Look: <img alt="[shot]" src="data:image/png;base64,{SCREENSHOT}"></p>',
    "Look: [shot]",
    attachments=[file(None, PNG, "image/png", cid="data-1@0.part.invalid")],
)

REPLIES = {
    "en": f"On Fri, 20 Nov 2026 at 09:00, Shop <support@shop.example> wrote:\n\n{QUESTION}",
    "de": f"Am Fr., 20. Nov. 2026 um 09:00 Uhr schrieb Shop <support@shop.example>:\n\n{QUESTION}",
    "fr": f"Le ven. 20 nov. 2026 à 09:00, Shop <support@shop.example> a écrit :\n\n{QUESTION}",
    "es": f"El vie, 20 nov 2026 a las 9:00, Shop (<support@shop.example>) escribió:\n\n{QUESTION}",
    "it": f"Il giorno ven 20 nov 2026 alle ore 09:00 Shop <support@shop.example> ha scritto:\n\n{QUESTION}",
    "nl": f"Op vr 20 nov 2026 om 09:00 schreef Shop <support@shop.example>:\n\n{QUESTION}",
    "pt": f"Em sex., 20 de nov. de 2026 às 09:00, Shop <support@shop.example> escreveu:\n\n{QUESTION}",
    "pl": f"pt., 20 lis 2026 o 09:00 Shop <support@shop.example> napisał(a):\n\n{QUESTION}",
    "cs": f"pá 20. 11. 2026 v 9:00 odesílatel Shop <support@shop.example> napsal:\n\n{QUESTION}",
    "sv": f"Den fre 20 nov. 2026 kl 09:00 skrev Shop <support@shop.example>:\n\n{QUESTION}",
    "da": f"Den fre. 20. nov. 2026 kl. 09.00 skrev Shop <support@shop.example>:\n\n{QUESTION}",
    "no": f"fre. 20. nov. 2026 kl. 09:00 skrev Shop <support@shop.example>:\n\n{QUESTION}",
    "fi": f"pe 20. marrask. 2026 klo 9.00 Shop (support@shop.example) kirjoitti:\n\n{QUESTION}",
    "ru": f"пт, 20 нояб. 2026 г. в 09:00, Shop <support@shop.example>:\n\n{QUESTION}",
    "uk": f"пт, 20 лист. 2026 р. о 09:00 Shop <support@shop.example> пише:\n\n{QUESTION}",
    "tr": f"Shop <support@shop.example>, 20 Kas 2026 Cum, 09:00 tarihinde şunu yazdı:\n\n{QUESTION}",
    "hu": f"Shop <support@shop.example> ezt írta (időpont: 2026. nov. 20., P, 9:00):\n\n{QUESTION}",
    "ro": f"În vin., 20 nov. 2026 la 09:00, Shop <support@shop.example> a scris:\n\n{QUESTION}",
    "el": f"Στις Παρ 20 Νοε 2026 στις 9:00 π.μ., ο χρήστης Shop <support@shop.example> έγραψε:\n\n{QUESTION}",
    "ja": f"2026年11月20日(金) 9:00 Shop <support@shop.example>:\n\n{QUESTION}",
    "zh": f"Shop <support@shop.example> 于2026年11月20日周五 09:00写道:\n\n{QUESTION}",
    "ko": f"2026년 11월 20일 (금) 오전 9:00, Shop <support@shop.example>님이 작성:\n\n{QUESTION}",
    "vi": f"Vào Th 6, 20 thg 11, 2026 vào lúc 09:00 Shop <support@shop.example> đã viết:\n\n{QUESTION}",
    "he": f"‫בתאריך יום ו׳, 20 בנוב׳ 2026 ב-9:00 מאת ‪Shop‬‏ <‪support@shop.example‬‏>:‬\n\n{QUESTION}",
    "ar": f"في الجمعة، 20 نوفمبر 2026 9:00 ص Shop <support@shop.example> كتب:\n\n{QUESTION}",
}
for language, quoted in REPLIES.items():
    name = f"reply-gmail-{language}"
    add(
        name,
        mail(name, f"{ANSWER}\n\n{quoted}\n", content_type="text/plain; charset=utf-8"),
        text=f"{ANSWER}\n\n{quoted}",
        stripped=ANSWER,
    )

OUTLOOK = {
    "en": ("From", "Sent", "To", "Subject"),
    "de": ("Von", "Gesendet", "An", "Betreff"),
    "fr": ("De", "Envoyé", "À", "Objet"),
    "es": ("De", "Enviado", "Para", "Asunto"),
    "it": ("Da", "Inviato", "A", "Oggetto"),
    "nl": ("Van", "Verzonden", "Aan", "Onderwerp"),
    "pt": ("De", "Enviado", "Para", "Assunto"),
    "pl": ("Od", "Wysłano", "Do", "Temat"),
    "cs": ("Od", "Odesláno", "Komu", "Předmět"),
    "sv": ("Från", "Skickat", "Till", "Ämne"),
    "da": ("Fra", "Sendt", "Til", "Emne"),
    "fi": ("Lähettäjä", "Lähetetty", "Vastaanottaja", "Aihe"),
    "ru": ("От", "Отправлено", "Кому", "Тема"),
    "tr": ("Kimden", "Gönderildi", "Kime", "Konu"),
    "hu": ("Feladó", "Küldve", "Címzett", "Tárgy"),
    "ja": ("差出人", "送信日時", "宛先", "件名"),
    "zh": ("发件人", "发送时间", "收件人", "主题"),
    "ko": ("보낸 사람", "보낸 날짜", "받는 사람", "제목"),
}
for language, (sender, sent, to, subject) in OUTLOOK.items():
    name = f"reply-outlook-{language}"
    lines = [
        f"{sender}: Shop <support@shop.example>",
        f"{sent}: 20.11.2026 09:00",
        f"{to}: Ann",
        f"{subject}: Your order",
    ]
    block = "\n".join([*lines, "", "Which colour?"])
    add(
        name,
        mail(name, f"{ANSWER}\n\n{block}\n", content_type="text/plain; charset=utf-8"),
        text=f"{ANSWER}\n\n{block}",
        stripped=ANSWER,
    )

SIGNED_OFF = {
    "dashes": "-- \nAnn Mueller\nExample Ltd",
    "dashes-without-blank": "--\nAnn Mueller",
    "iphone-en": "Sent from my iPhone",
    "iphone-de": "Von meinem iPhone gesendet",
    "iphone-fr": "Envoyé de mon iPhone",
    "iphone-es": "Enviado desde mi iPhone",
    "iphone-it": "Inviato da iPhone",
    "iphone-pt": "Enviado do meu iPhone",
    "iphone-nl": "Verstuurd vanaf mijn iPhone",
    "iphone-pl": "Wysłane z iPhone'a",
    "iphone-ru": "Отправлено с iPhone",
    "iphone-ja": "iPhoneから送信",
    "iphone-zh": "发自我的iPhone",
    "samsung-en": "Sent from my Galaxy",
    "outlook-en": "Get Outlook for iOS",
    "outlook-de": "Outlook für Android herunterladen",
}
for kind, signature in SIGNED_OFF.items():
    name = f"signature-{kind}"
    body = f"{ANSWER}\n\n{signature}"
    add(name, mail(name, body + "\n", content_type="text/plain; charset=utf-8"), text=body, stripped=ANSWER)

OWN = {
    "inline": "> Which colour?\nRed.\n> Which size?\nLarge.",
    "on-monday": "On Monday your colleague wrote:\nwe will pay.\nWhere is it?",
    "from-berlin": "From: Berlin\nI travelled by train, and it was late.",
    "quote-only": "> only a quotation",
    "sent-from": "Sent from my iPhone was your last mail. Why?\nPlease answer.",
}
for kind, body in OWN.items():
    name = f"own-words-{kind}"
    add(name, mail(name, body + "\n"), text=body, stripped=body)
