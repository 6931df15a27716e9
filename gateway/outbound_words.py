"""What is left of a part where only text can be sent (`fallback: degrade`): nothing that a customer needs is lost."""

from __future__ import annotations

from collections.abc import Iterable

from normalizer import parts as p
from normalizer.errors import Unsendable
from normalizer.parts import AnyPart, ChoiceItem
from normalizer.text import plain

WORDLESS = frozenset({"template", "order", "system", "form_reply", "unsupported"})
"""Types that have no words of their own: a customer must not be sent ``[template]``."""


def words(part: AnyPart) -> str:
    """Say a part in plain text: a choice with its options, numbered; media with the link to it, where there is one.

    Raises:
        Unsendable: there is nothing to say.
    """
    tag = str(part.__struct_config__.tag)
    if tag in WORDLESS:
        raise Unsendable(f"{tag} as text", ("text",))
    match part:
        case p.Choice(body=body, items=items):
            said = [body, *_options(items)]
        case p.Card(items=cards) | p.Carousel(items=cards):
            said = [line for card in cards for line in _card(card)]
        case p.Image() | p.Audio() | p.Video() | p.File() | p.Sticker():
            said = [plain([part]), part.media.url or ""]
        case _:
            said = [plain([part])]
    return "\n".join(line for line in said if line)


def all_words(parts: Iterable[AnyPart]) -> str:
    """Say several parts, one after the other; raises `Unsendable`."""
    return "\n".join(words(part) for part in parts)


def _options(items: tuple[ChoiceItem, ...]) -> Iterable[str]:
    for number, item in enumerate(items, 1):
        details = ": ".join(filter(None, (item.title, item.description)))
        yield f"{number}. {details}" + (f" {item.url}" if item.url else "")


def _card(card: p.CardItem) -> Iterable[str]:
    yield card.title
    yield card.body or ""
    yield (card.media.url if card.media else None) or ""
    yield from _options(card.items)
