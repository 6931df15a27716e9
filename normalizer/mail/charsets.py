"""Bytes to text whatever the label says: labels lie, bytes stay.

The substitutions follow the WHATWG Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels): software
that writes ``gb2312`` means its superset, and so on. Only charsets on Python's own list are looked up, because
`codecs.lookup` remembers every unknown name for ever and also knows codecs that are no charsets (``zlib``,
``unicode_escape``).
"""

from __future__ import annotations

import re
from contextlib import suppress
from encodings.aliases import aliases
from functools import lru_cache

from normalizer.mail import japanese

_JAPANESE = "iso2022_jp_ms"
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "gb_2312_80": "gb18030",
    "hz_gb_2312": "hz",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601_1989": "cp949",
    "ksc5601": "cp949",
    "euc_kr": "cp949",
    "iso2022_jp": _JAPANESE,
    "iso2022_jp_1": _JAPANESE,
    "iso2022_jp_2": _JAPANESE,
    "iso2022_jp_ext": _JAPANESE,
    "iso_2022_jp_ms": _JAPANESE,
    "cp50220": _JAPANESE,
    "cp50221": _JAPANESE,
    "csiso2022jp": _JAPANESE,
    "jis": _JAPANESE,
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "big5": "big5hkscs",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso_8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "windows_874": "cp874",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "macroman": "mac_roman",
    "utf8mb4": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "koi8_ru": "koi8_u",
}
_NOT_TEXT = {
    "base64_codec",
    "bz2_codec",
    "hex_codec",
    "mbcs",
    "quopri_codec",
    "rot_13",
    "uu_codec",
    "zlib_codec",
    "ascii",
}
_KNOWN = (
    {_JAPANESE, *aliases.values(), "cp874", "cp737", "cp1006", "koi8_u", "koi8_t", "mac_croatian", "mac_farsi"}
) - _NOT_TEXT
_CODEPAGE = re.compile(r"(?:x_)?(?:windows|win|cp|ibm|ms|dos)_?([0-9]{3,5})")
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_BREAKS = re.compile(r"\r\n|\r")


@lru_cache(maxsize=256)
def codec_name(label: str | None) -> str | None:
    """Find Python's codec for a MIME charset label; None for a missing, unknown or meaningless one."""
    name = re.sub(r"[^a-z0-9]+", "_", (label or "").partition("*")[0].strip("\"' \t").lower()).strip("_")
    name = _SUPERSETS.get(name, name)
    name = aliases.get(name, name)
    name = _SUPERSETS.get(name, name)
    if name not in _KNOWN and (codepage := _CODEPAGE.fullmatch(name)):
        name = _SUPERSETS.get(f"cp{codepage[1]}", f"cp{codepage[1]}")
    return name if name in _KNOWN else None


def decode(data: bytes, label: str | None = None, hint: str | None = None) -> str:
    """Decode `data` by its charset label, or by its looks where the label is missing or wrong.

    Args:
        data: any bytes.
        label: the charset as the sender names it.
        hint: the charset of the text nearby, for unlabelled bytes that are not UTF-8.
    """
    codec = codec_name(label)
    if codec == _JAPANESE or (codec in {None, "utf_8"} and japanese.looks_like_it(data)):
        return clean(japanese.decode(data))
    if codec and codec.startswith(("utf_16", "utf_32")) and data.isascii() and b"\x00" not in data:
        codec = None
    if codec is None or codec == "utf_8":
        return clean(_unlabelled(data, hint) if codec is None else _utf8(data))
    with suppress(ValueError):
        return clean(data.decode(codec))
    return clean(_replacing(data, codec))


def clean(text: str) -> str:
    """Replace what JSON, or the databases behind it, cannot hold: lone surrogates and NUL."""
    return _UNFIT.sub("\ufffd", text) if _UNFIT.search(text) else text


def lines(text: str) -> str:
    """Turn CRLF and lone CR into LF."""
    return _BREAKS.sub("\n", text)


def _unlabelled(data: bytes, hint: str | None) -> str:
    with suppress(ValueError):
        return data.decode("utf-8-sig")
    codec = codec_name(hint)
    if codec and codec != _JAPANESE and not codec.startswith("utf"):
        with suppress(ValueError):
            return data.decode(codec)
    return _replacing(data, "cp1252")


def _utf8(data: bytes) -> str:
    """Believe the label unless hardly anything but ASCII is valid: then it is Latin text with a wrong label."""
    text = data.decode("utf-8-sig", "replace")
    invalid = text.count("\ufffd")
    if not invalid:
        return text
    valid = sum(not char.isascii() for char in text) - invalid
    if data[-1] >= 0xC2:
        invalid -= 1  # the text may have been cut inside its last character
    return _replacing(data, "cp1252") if invalid > 4 * valid else text


def _replacing(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec, "replace")
    except (ValueError, LookupError, RecursionError):
        return data.decode("latin-1")
