"""Bounces in free text: which phrases say that a mail was not delivered, and to whom.

The phrases are those of the systems named beside them; a new system's bounce is recognised as soon as it uses one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from normalizer.mail import charsets, html
from normalizer.mail.headers import Fields
from normalizer.mail.identity import message_ids
from normalizer.mail.mime import Entity
from normalizer.mail.report import Action, Recipient, addresses_in, diagnosed, status_code

NOTICE_MAX = 32_768
"""Characters of a notice that are looked at."""

_FAILED = (
    r"(?:could|can|did|was|were|has|have|may)(?:\s?not|n[o']t)\s{1,9}(?:be|been|reach)?\s{0,9}(?:deliver|reach|sent|some)",
    r"undeliver(?:able|ed)",
    r"un(?:able|successful)\W{1,4}(?:to|in)?\W{0,4}(?:be\s)?deliver",
    r"deliver(?:y|ing)\b[^.\n]{0,80}\b(?:fail|problem|error|trouble|not possible|impossible|rejected)",
    r"(?:fail(?:ed|ure)|error|trouble|problems?)\b[^.\n]{0,60}\b(?:deliver|recipient|transmi)",
    r"wasn'?t able to deliver|unable to (?:be )?deliver|not able to deliver",  # qmail
    r"returned (?:mail|to sender|message)|returning message|unsent message",  # sendmail, Exim
    r"permanent(?:ly)? (?:fatal )?(?:error|failure)|fatal errors?|transcript of session",  # sendmail
    r"not delivered|non-?delivery|mail system error",
    r"recipients? (?:was|were|could|address(?:es)?) (?:rejected|affected|not)",
    r"invalid final delivery|user\s+not (?:listed|found)|no such user|unknown user|user unknown",  # IMail, Notes
    r"group you tried to contact",  # Google Groups
    r"address(?:es|\(es\))?[^.\n]{0,30}\b(?:failed|had (?:delivery|permanent|transient))",
    r"an error occurred while (?:trying|attempting) to|there was an error (?:delivering|sending)",
    r"送信できません|送信に失敗|配信できません|届けることができません|エラーのため送信",  # Japanese systems
    r"не может быть доставлен|не доставлен|недоставлен",  # mail.ru, Yandex
    r"konnte nicht (?:zugestellt|übermittelt)|unzustellbar|nicht zugestellt",
    r"n'a pas pu être (?:remis|délivré|distribué)|non remis|échec de la remise|non distribuable",
    r"no (?:se )?(?:ha podido|pudo|ha sido posible) (?:ser )?(?:entreg|enviar)|no entregado|no se puede entregar",
    r"non (?:è stato possibile|può essere) (?:consegna|recapita)|mancat[ao] (?:consegna|recapito)|impossibile recapita",
    r"não (?:pôde|foi possível|foi) (?:ser )?entreg|falha na entrega",
    r"niet (?:worden )?(?:afgeleverd|bezorgd)|onbestelbaar",
    r"nie (?:można|mogła|udało się) (?:było )?(?:dostarcz|zostać dostarcz)|niedostarcz",
    r"退信|无法投递|无法送达|投递失败|未能送达|無法傳遞|無法投遞",
    r"배달되지|전송 실패|반송",
)
_DELAYED = (
    r"\bdelayed\b|\bdelay\)|warning message only|will be retried|still (?:trying|being tried)|not yet been delivered",
    r"no action is required|will (?:continue|keep) (?:trying|to try)|temporary (?:problem|failure)\b[^.\n]{0,40}\bretr",
    r"verzögert|retardé|retrasado|ritardat|配信が遅れ|遅延|延迟|задерж",
)
_GIVEN_UP = r"given? up|giving up|permanent|will be deleted from queue|failed permanently|too long|not going to try"
_CUT = (
    r"^[ \t>]*[-=*_]{2,}[^\n]{0,20}(?:original|returned|unsent|copy of|below this line|header|enclosed|follows)",
    r"^[^\n]{0,30}\b(?:original (?:message|mail)(?: info)?|message headers?|header) (?:follows?|is following)\b",
    r"^[^\n]{0,30}\b(?:below is|this is|included is) a copy of the (?:original )?message",
    r"^[ \t]*[-=*_]{2,}\s*(?:returned message|original mail|original message)",
    r"^original message:",
    r"^(?:received|return-path|dkim-signature|x-received):",
)
_SAYS = re.compile("|".join(_FAILED), re.IGNORECASE)
_LATER = re.compile("|".join(_DELAYED), re.IGNORECASE)
_FINAL = re.compile(_GIVEN_UP, re.IGNORECASE)
_END = re.compile("|".join(_CUT), re.IGNORECASE | re.MULTILINE)
_HEADER = re.compile(r"^(?:message-id|from|to|received|subject)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_NAMED = re.compile(r"^[ \t>]*message-id[ \t]*:\s*(<[^<>]{1,998}>)", re.IGNORECASE | re.MULTILINE)
_LED = re.compile(
    r"(?:^[\s*\"'<>(.\-]*|(?:rcpt to|recipients?|address(?:es)?|delivered to|reach|to|delivery failed|userid|errors?"
    r"|message to|mail to)\W{0,6})$",
    re.IGNORECASE,
)
_MACHINE = re.compile(r"mailer-?daemon|postmaster|abuse|support|noreply|no-reply", re.IGNORECASE)


class Notice(Struct, frozen=True, kw_only=True):
    """What a mail system wrote.

    Attributes:
        text: its own words.
        header: of the mail that came back, where it follows in the same text.
        ids: what stands there as its Message-ID, also where the lines were wrapped so that it is no header any more.
    """

    text: str
    header: Fields
    ids: list[str]

    def says_so(self, subject: str) -> bool:
        """Tell whether the text, or else the subject, says that a mail was not delivered, or not yet."""
        return any(phrase.search(one) for phrase in (_SAYS, _LATER) for one in (self.text, subject))

    def delayed(self, subject: str) -> bool:
        """Tell whether the system goes on trying."""
        return bool(_LATER.search(subject) or (_LATER.search(self.text) and not _FINAL.search(self.text)))

    def recipients(self, action: Action, known: frozenset[str]) -> list[Recipient]:
        """Find the addresses the notice is about, and what it says after each."""
        places = [(at, one) for at, one in addresses_in(self.text) if one not in known]
        led = [(at, one) for at, one in places if self._leads(at)]
        chosen = led or [(at, one) for at, one in places if not _MACHINE.search(one)]
        first = {one: at for at, one in reversed(chosen)}
        ordered = sorted(first.items(), key=lambda item: item[1])
        ends = [*(at for _, at in ordered[1:]), len(self.text)]
        whole = status_code(self.text)
        return [
            Recipient(
                address=address,
                action=action,
                status=status_code(self.text[at:end]) or whole,
                diagnostic=diagnosed(_reason(self.text[at + len(address) : end])),
            )
            for (address, at), end in zip(ordered, ends, strict=False)
        ]

    def _leads(self, at: int) -> bool:
        """Tell whether an address stands where a notice names a recipient: first in its line, or after such a word."""
        line = self.text[max(0, at - 100) : at].rpartition("\n")[2]
        return _LED.search(line) is not None


def _reason(text: str) -> str:
    """Of what follows an address take the paragraph with a code, else the first that says something."""
    paragraphs = [one.strip(" \t>\"'):;,.\r\n") for one in re.split(r"\n[ \t]*\n", text)]
    coded = (one for one in paragraphs if status_code(one))
    return next(coded, None) or next((one for one in paragraphs if len(one) > 8), "")


def notice(listed: list[Entity]) -> Notice:
    """Read the text parts before the mail that came back, and cut off where that follows as text."""
    text = "\n".join(_texts(listed))[:NOTICE_MAX]
    match = _END.search(text)
    own, rest = (text[: match.start()], text[match.start() :]) if match else (text, "")
    if not own.strip():
        own = text
    start = _HEADER.search(rest)
    data = rest[start.start() :].encode() if start else b""
    ids = message_ids(named[1]) if (named := _NAMED.search(rest)) else []
    return Notice(text=own, header=Entity(data, 0, len(data), "", "text/plain").fields, ids=ids)


def _texts(listed: list[Entity]) -> Iterator[str]:
    for leaf in listed:
        if leaf.mime in {"message/rfc822", "text/rfc822-headers"}:
            return
        if leaf.mime in {"text/plain", "text/html"} or leaf.partless:
            data = leaf.payload()[: 4 * NOTICE_MAX]
            text = charsets.lines(charsets.decode(data, leaf.params.get("charset")))
            yield html.text(text) if leaf.mime == "text/html" else text
