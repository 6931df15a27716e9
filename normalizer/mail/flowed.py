"""Text of ``format=flowed`` (RFC 3676): lines that end in a space go on in the next one."""

from __future__ import annotations

_SIGNATURE = "-- "


def unflow(text: str, *, delsp: bool = False) -> str:
    """Join soft-broken lines of the same quote depth and undo space-stuffing.

    Args:
        text: with LF line breaks.
        delsp: the space before a soft break is no part of the text (``DelSp=yes``; languages without word spaces).
    """
    out: list[str] = []
    paragraph: list[str] = []
    depth = 0
    for line in text.split("\n"):
        content = line.lstrip(">")
        now = len(line) - len(content)
        content = content.removeprefix(" ")
        if paragraph and (now != depth or content == _SIGNATURE):
            out.append(_quoted("".join(paragraph).rstrip(), depth))
            paragraph = []
        depth = now
        if content == _SIGNATURE or not content.endswith(" "):
            out.append(_quoted("".join([*paragraph, content]), depth))
            paragraph = []
        else:
            paragraph.append(content[:-1] if delsp else content)
    if paragraph:
        out.append(_quoted("".join(paragraph).rstrip(), depth))
    return "\n".join(out)


def _quoted(text: str, depth: int) -> str:
    if not depth:
        return text
    return f"{'>' * depth} {text}" if text else ">" * depth
