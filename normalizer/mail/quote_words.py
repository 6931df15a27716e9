"""The words by which mail programs introduce a quotation, in the languages they are sold in."""

from __future__ import annotations

import re

OPENERS = "on|am|le|el|il|op|em|den|dne|pá|w dniu|dnia|på|vào|în|la|στις|em|в|at"
WROTE = (
    "wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napsala?|napisała?|a scris|ezt írta"
    "|пишет|пише|написала?|kirjoitti|írta|yazdı|έγραψε|đã viết|כתב|كتب|写道|寫道|のメール|님이 작성"  # noqa: RUF001
)
COLON = "[:：]"  # noqa: RUF001

_ORIGINAL = (
    "original message|ursprüngliche nachricht|originalnachricht|original-nachricht|weitergeleitete nachricht"
    "|forwarded message|message d'origine|message original|message transféré|mensaje original|mensaje reenviado"
    "|messaggio originale|messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|originalmeddelande"
    "|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti|mensagem original|mensagem encaminhada"
    "|wiadomość oryginalna|původní zpráva|eredeti üzenet|mesaj original|özgün ileti|orijinal mesaj|αρχικό μήνυμα"
    "|исходное сообщение|пересылаемое сообщение|оригінальне повідомлення|原始邮件|原始郵件|元のメッセージ|원본 메시지"
    "|转发邮件|轉寄郵件"
    "|reply message|forwarded by"
)
_BEGIN_FORWARDED = (
    "begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)|début du message (?:réexpédié|transféré)"
    "|inicio del mensaje reenviado|inizio messaggio inoltrato|begin doorgestuurd bericht"
)
DIVIDER = re.compile(rf"^[\s>*]*(?:-{{2,}}\s*(?:{_ORIGINAL})\s*-{{2,}}|(?:{_BEGIN_FORWARDED})\s*:)\s*$", re.IGNORECASE)

FROM = frozenset(
    {"from", "von", "de", "da", "van", "från", "fra", "od", "de la", "lähettäjä", "feladó", "kimden", "gönderen"}
    | {"από", "от", "от кого", "від", "发件人", "寄件者", "差出人", "보낸 사람", "từ", "מאת", "من"}
)
OTHER = frozenset(
    {"sent", "date", "to", "subject", "cc", "gesendet", "datum", "an", "betreff", "envoyé", "à", "objet", "enviado"}
    | {"para", "asunto", "fecha", "inviato", "a", "oggetto", "data", "verzonden", "aan", "onderwerp", "skickat"}
    | {"till", "ämne", "sendt", "til", "emne", "wysłano", "do", "temat", "assunto", "dato", "kopie", "copie"}
    | {"odesláno", "komu", "předmět", "lähetetty", "vastaanottaja", "aihe", "päivämäärä", "küldve", "címzett", "tárgy"}
    | {"gönderildi", "kime", "konu", "tarih", "trimis", "către", "subiect", "στάλθηκε", "προς", "θέμα", "ημερομηνία"}
    | {"отправлено", "дата", "кому", "тема", "надіслано", "发送时间", "收件人", "主题", "主旨", "日期", "传送", "抄送"}
    | {
        "收件者",
        "寄件日期",
        "宛先",
        "件名",
        "送信日時",
        "日時",
        "보낸 날짜",
        "받는 사람",
        "제목",
        "날짜",
        "đã gửi",
        "tới",
    }
    | {"נשלח", "אל", "נושא", "إلى", "الموضوع"}
)
"""Labels of the header block that Outlook writes above a quotation."""

_SENT_FROM = (
    "sent (?:from|via|with|using)|get outlook for|von meinem .+ gesendet|gesendet (?:von|mit|über)"
    "|diese nachricht wurde von .+ gesendet|outlook für .+ (?:herunterladen|beziehen)|envoyé (?:de|depuis|à partir d)"
    "|(?:télécharger|obtenir) outlook pour"
    "|enviado (?:desde|de|do|da|a partir|via|con|com)|(?:obtener|obter o) outlook para"
    "|inviato da|(?:ottieni|scarica) outlook per|verstuurd vanaf|verzonden (?:vanaf|met|via)|outlook voor .+ downloaden"
    "|wysłan[eo] z|pobierz outlook|odesláno z|získat outlook pro|skickat från|skaffa outlook för|sendt fra|hent outlook"
    "|lähetetty|hanki outlook|küldve|trimis de pe|στάλθηκε από|отправлено (?:с|из)|скачать outlook"  # noqa: RUF001
    "|(?:надіслано|відправлено) з|.+(?:dan|den|tan|ten) gönderildi|.+から送信|发自|發自|從我的 ?.+ ?傳送|來自我的"
    "|.+에서 보냄|נשלח מ|أُ?رسل(?:ت)? من|تم الإرسال من|(?:đã|được) gửi từ"
)
_DEVICE = (
    "i[pP]hone|i[pP]ad|ios|android|samsung|galaxy|xiaomi|redmi|huawei|honor|oneplus|pixel|nokia|motorola|blackberry|xperia"
    "|smartphone|handy|mobil|móvil|movil|cellulare|celular|telefon|téléphone|teléfono|telefoon|puhelin|phone|tablet"
    "|outlook|thunderbird|sparrow|spark|canary|webmail"
    "|mail (?:for|für|pour|per|para|app)|(?:yahoo|proton|blue|air) ?mail"
    "|телефон|смартфон|手机|手機|携帯|スマホ|휴대|הטלפון|الهاتف|הנייד"
)
SENT_FROM = re.compile(rf"^\W*(?=.*(?:{_DEVICE}))(?:{_SENT_FROM})", re.IGNORECASE)
"""What telephones put under a mail."""
