"""Any mail that Python's email package can write is read back: subject, names, text, files."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from normalizer.parts import Email, File
from tests.unit.email_helpers import message

LETTERS = st.characters(codec="utf-8", categories=["L", "N"])
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=20), min_size=1, max_size=8).map(" ".join)
LINES = st.lists(st.text(LETTERS | st.sampled_from(" .,-:;<>@\"'()[]%="), max_size=60).map(str.strip), max_size=6)
FILES = st.lists(st.tuples(st.text(LETTERS, min_size=1, max_size=30), st.binary(max_size=200)), max_size=3)
POLICIES = st.sampled_from([SMTP, SMTP.clone(utf8=True), SMTP.clone(cte_type="8bit", max_line_length=40)])


@settings(deadline=None)
@given(WORDS, st.text(LETTERS, min_size=1, max_size=30), LINES, FILES, st.booleans(), POLICIES)
def test_a_mail_is_read_back(
    subject: str,
    name: str,
    lines: list[str],
    files: list[tuple[str, bytes]],
    rich: bool,  # noqa: FBT001
    policy: EmailPolicy,
) -> None:
    made = EmailMessage()
    made["From"], made["Subject"] = Address(name, "ann", "example.net"), subject
    made.set_content("\n".join(lines) + "\n")
    if rich:
        made.add_alternative("<p>the same in <b>HTML</b></p>", subtype="html")
    for file_name, data in files:
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=file_name)

    found = message(made.as_bytes(policy=policy))
    part, *others = found.parts

    assert found.sender.name == name
    assert "".join((found.subject or "").split()) == subject.replace(" ", "")  # that package folds some blanks away
    assert isinstance(part, Email)
    assert part.text == "\n".join(lines).strip("\n") or (rich and not "".join(lines).strip())
    attached = [one.media for one in others if isinstance(one, File)]
    assert [(one.name, one.sha256) for one in attached] == [(one, sha256(data).hexdigest()) for one, data in files]
