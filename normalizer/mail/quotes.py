"""Part an answer from what it quotes, and from the signature.

Cautious on purpose: text is only cut where a well-known mark stands and nothing but a quotation follows it. An answer
written between the quoted lines is left as it is, and whoever reads the message has the full text beside it.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Split(NamedTuple):
    """The author's own words, and the quotation (with its introduction) that was cut off."""

    own: str
    quoted: str | None


_OPENERS = "on|am|le|el|il|op|em|den|dne|w dniu|dnia|på|vào|в|at"
_WROTE = (
    "wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napsala?|napisała?"
    "|пишет|написала?|kirjoitti|írta|yazdı|写道|寫道|のメール"  # noqa: RUF001
)
_COLON = "[:：]"  # noqa: RUF001
_INTRODUCTION = re.compile(
    rf"^\W*(?:{_OPENERS})\b.{{4,300}}?(?:{_WROTE}).{{0,60}}{_COLON}?\s*$", re.IGNORECASE | re.DOTALL
)
_WROTE_LATE = re.compile(rf"@\S{{1,100}}\s*(?:{_WROTE})\b.{{0,80}}{_COLON}\s*$", re.IGNORECASE)
_WHEN = re.compile(r"\d{1,2}[:.]\d\d|\d{4}")
_DIVIDER = re.compile(
    r"^[\s>*]*-{2,}\s*(?:original message|ursprüngliche nachricht|originalnachricht|original-nachricht"
    r"|weitergeleitete nachricht|forwarded message|message d'origine|message original|mensaje original"
    r"|messaggio originale|oorspronkelijk bericht|originalmeddelande|oprindelig meddelelse|mensagem original"
    r"|wiadomość oryginalna|исходное сообщение|пересылаемое сообщение|原始邮件|原始郵件|reply message)\s*-{2,}\s*$",
    re.IGNORECASE,
)
_LABELS = {
    "from": {"from", "von", "de", "da", "van", "från", "fra", "od", "от", "от кого", "发件人", "寄件者", "差出人"},
    "other": (
        {"sent", "date", "to", "subject", "cc", "gesendet", "datum", "an", "betreff", "envoyé", "à", "objet", "enviado"}
        | {"para", "asunto", "fecha", "inviato", "a", "oggetto", "data", "verzonden", "aan", "onderwerp", "skickat"}
        | {"till", "ämne", "sendt", "til", "emne", "wysłano", "do", "temat", "отправлено", "дата", "кому", "тема"}
        | {"assunto", "发送时间", "收件人", "主题", "主旨", "日期", "宛先", "件名"}
    ),
}
_LABEL = re.compile(rf"^[\s*_]*([^\W\d][^:*\n]{{0,20}}?)[\s*_]*{_COLON}")
_RULE = re.compile(r"^\s*_{10,}\s*$")
_LINE_MAX = 400
_WINDOW = 4


def split(text: str) -> Split:
    """Split `text`; `own` is the whole of it where nothing was recognised or nothing would remain."""
    lines = text.split("\n")
    start = _divider(lines)
    if start is None:
        start = _trailing_quote(lines)
    own, quoted = (lines, []) if start is None else (lines[:start], lines[start:])
    if start is None and (end := _leading_quote(lines)):
        own, quoted = lines[end:], lines[:end]
    own = _unsigned(own)
    stripped = "\n".join(own).strip()
    if not stripped:
        return Split(text.strip(), None)
    return Split(stripped, "\n".join(quoted).strip() or None)


def _divider(lines: list[str]) -> int | None:
    """Find the line where a client puts the whole earlier mail below the answer."""
    for number, line in enumerate(lines):
        if len(line) > _LINE_MAX or not line.strip():
            continue
        if _DIVIDER.match(line):
            return number
        if _is_header_block(lines, number):
            before = _last_filled(lines, number)
            return before if before is not None and _RULE.match(lines[before]) else _introduction(lines, number)
    return None


def _is_header_block(lines: list[str], number: int) -> bool:
    """``From: … Sent: … To: … Subject: …`` as Outlook writes it, in any of the languages known here."""
    if _label(lines[number]) not in _LABELS["from"]:
        return False
    following = [line for line in lines[number + 1 : number + 8] if line.strip()][:4]
    return sum(_label(line) in _LABELS["other"] for line in following) >= 2


def _label(line: str) -> str:
    match = _LABEL.match(line[:_LINE_MAX])
    return match[1].strip().lower() if match else ""


def _last_filled(lines: list[str], number: int) -> int | None:
    return next((at for at in range(number - 1, max(-1, number - 4), -1) if lines[at].strip()), None)


def _trailing_quote(lines: list[str]) -> int | None:
    """Find where the last quotation begins, if nothing of the author's follows it but a signature."""
    end = len(_unsigned(lines))
    if not any(line.startswith(">") for line in lines[:end]):
        return _bare_introduction(lines, end)
    last = end
    while last > 0 and not lines[last - 1].strip():
        last -= 1
    start = last
    while start > 0 and (lines[start - 1].startswith(">") or not lines[start - 1].strip()):
        start -= 1
    if start == last or not any(line.startswith(">") for line in lines[start:last]):
        return None
    return _introduction(lines, start)


def _leading_quote(lines: list[str]) -> int:
    """Find the end of a quotation that stands, introduced, before an answer without any other quotation; else 0."""
    first = next((number for number, line in enumerate(lines) if line.startswith(">")), None)
    if first is None or not any(_introduces(" ".join(lines[start:first]).strip()) for start in range(first)):
        return 0
    if any(line.strip() for line in lines[: _introduction(lines, first)]):
        return 0
    end = first
    while end < len(lines) and (lines[end].startswith(">") or not lines[end].strip()):
        end += 1
    return 0 if any(line.startswith(">") for line in lines[end:]) else end


def _introduction(lines: list[str], start: int) -> int:
    """Include ``On … wrote:`` before line `start`, which may be broken over a few lines."""
    last = start
    while last > 0 and not lines[last - 1].strip():
        last -= 1
    for count in range(1, _WINDOW + 1):
        if count > last:
            break
        if _introduces(" ".join(lines[last - count : last])):
            return last - count
    while start < len(lines) and not lines[start].strip():
        start += 1
    return start


def _introduces(text: str) -> bool:
    return len(text) <= _LINE_MAX and bool(_INTRODUCTION.match(text) or _WROTE_LATE.search(text))


def _bare_introduction(lines: list[str], end: int) -> int | None:
    """Find ``On … wrote:`` followed by an unmarked quotation: some clients indent, which text does not show.

    A date and an address must stand in it: "On Monday your colleague wrote:" is the customer's own sentence.
    """
    for number in range(end):
        if not re.search(rf"{_COLON}\s*$", lines[number][-_LINE_MAX:]):
            continue
        for count in range(min(_WINDOW, number + 1)):
            block = " ".join(lines[number - count : number + 1])
            if not lines[number - count].strip() or len(block) > _LINE_MAX:
                break
            if "@" in block and _WHEN.search(block) and _introduces(block):
                return number - count
    return None


def _unsigned(lines: list[str]) -> list[str]:
    """Drop what follows the last ``-- `` line, unless quoted text follows it or too much for a signature."""
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].rstrip("\r") in {"-- ", "--"}:
            tail = lines[number + 1 :]
            if len(tail) <= 25 and not any(line.startswith(">") for line in tail):
                return lines[:number]
            return lines
    return lines
