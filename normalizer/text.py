"""Plain text from content: what a channel, a log or a screen without rich content shows."""

from __future__ import annotations

from collections.abc import Sequence

from normalizer import parts as p
from normalizer.parts import AnyPart


def plain(content: Sequence[AnyPart]) -> str:
    """Render parts as text, one per line; parts without words are named in brackets."""
    if len(content) == 1 and type(content[0]) is p.Text:  # nearly all messages
        return content[0].body
    return "\n".join(line for line in (_line(part) for part in content) if line)


def _line(part: AnyPart) -> str:  # noqa: PLR0911 -- one return per part type reads best
    match part:
        case p.Text(body=body) | p.Choice(body=body):
            return body
        case p.Email(text=text):
            return text
        case p.Image() | p.Audio() | p.Video() | p.File() | p.Sticker():
            return _media(part)
        case p.Location(lat=lat, lon=lon, name=name):
            return f"[location {name + ' ' if name else ''}{lat:.6f},{lon:.6f}]"
        case p.Contact(name=name, phones=phones):
            return " ".join(["[contact]", name, *phones])
        case p.ChoiceReply(item_id=item, title=title):
            return title or item
        case p.Transcript(segments=segments):
            return " ".join(segment.text for segment in segments)
        case p.Card(items=items) | p.Carousel(items=items):
            return "\n".join(" ".join(filter(None, (item.title, item.body))) for item in items)
        case p.Unsupported(provider_type=kind):
            return f"[{kind}]"
        case _:
            return f"[{part.__struct_config__.tag}]"


def _media(part: p.MediaPart) -> str:
    if part.media.caption:
        return part.media.caption
    if isinstance(part, p.Sticker) and part.emoji:
        return part.emoji
    name = f" {part.media.name}" if part.media.name else ""
    return f"[{part.__struct_config__.tag}{name}]"
