"""Write the files of the corpus: ``python -m tests.mail_corpus``."""

from __future__ import annotations

import json

from tests.mail_corpus import FOLDER, GOLDEN
from tests.mail_corpus.made import MADE


def main() -> None:
    for old in FOLDER.glob("*.eml"):
        old.unlink()
    FOLDER.mkdir(exist_ok=True)
    for name, made in MADE.items():
        (FOLDER / f"{name}.eml").write_bytes(made.body)
    golden = {name: made.expected for name, made in sorted(MADE.items()) if made.expected is not None}
    GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


main()
