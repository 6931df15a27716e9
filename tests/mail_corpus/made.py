"""All mails that the modules of this package make."""

from __future__ import annotations

from tests.mail_corpus import charsets, headers, names, office, structure, text
from tests.mail_corpus.build import MADE

__all__ = ["MADE", "charsets", "headers", "names", "office", "structure", "text"]
