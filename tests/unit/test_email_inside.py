"""What is inside the parts: calendars, flowed text, signed content, files in the text, pictures in the HTML, dates."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from normalizer.mail import calendar, charsets, cms, crypto, dataurl, dates, flowed, japanese, quotes, uu
from normalizer.mail.content import Content
from normalizer.mail.mime import parse
from tests.mail_corpus.build import PNG
from tests.mail_corpus.charsets import jis
from tests.mail_corpus.office import BER, OPAQUE, tlv

BANNERS = ("BEGIN PGP SIGNED MESSAGE", "BEGIN PGP SIGNATURE", "END PGP SIGNATURE")
EVENT = "BEGIN:VCALENDAR\n{}\nBEGIN:VEVENT\n{}\nEND:VEVENT\nEND:VCALENDAR"


def summary(*lines: str, head: str = "METHOD:REQUEST") -> list[str]:
    invite = calendar.read(EVENT.format(head, "\n".join(lines)))
    return invite.summary.split("\n") if invite else []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["SUMMARY:a\\, b\\; c\\nd"], ["Invitation: a, b; c d"]),
        (["DTSTART:20261123T090000Z", "DTEND:20261124T100000Z"], ["When: 2026-11-23 09:00 - 2026-11-24 10:00 (UTC)"]),
        (["DTSTART;TZID=Europe/Berlin:20261123T090000"], ["When: 2026-11-23 09:00 (Europe/Berlin)"]),
        (["DTSTART;VALUE=DATE:20261123", "DTEND;VALUE=DATE:20261124"], ["When: 2026-11-23"]),
        (["SUMMARY:x", "RRULE:FREQ=WEEKLY;COUNT=3"], ["Repeats: FREQ=WEEKLY;COUNT=3"]),
        (["SUMMARY:x", "ORGANIZER:MAILTO:ann@example.net"], ["Organizer: ann@example.net"]),
        (
            ["SUMMARY:x", 'ORGANIZER;CN="Ann; the first: CEO":mailto:a@b.example'],
            ["Organizer: Ann; the first: CEO <a@b.example>"],
        ),
        (["SUMMARY:x", "STATUS:CANCELLED"], ["Cancelled event: x"]),
        (["SUMMARY:x", "END:VEVENT", "BEGIN:VEVENT", "SUMMARY:y"], ["(1 more in the calendar)"]),
        (["SUMMARY:x", "BEGIN:VALARM", "SUMMARY:alarm", "END:VALARM"], ["Invitation: x"]),
        (["DTSTART:20261399T250000", "DTEND:now"], []),
        (["DESCRIPTION:only words"], []),
    ],
)
def test_an_event_in_a_few_lines(lines: list[str], expected: list[str]) -> None:
    found = summary(*lines)

    assert set(expected) <= set(found)
    assert bool(found) == bool(expected)


def test_an_answer_says_who_answered_what() -> None:
    found = summary("SUMMARY:x", "ATTENDEE;PARTSTAT=DECLINED;CN=Bob:mailto:b@c.example", head="METHOD:REPLY")

    assert found == ["Answer to an invitation: x", "Bob <b@c.example>: declined"]


@settings(deadline=None)
@given(st.text(st.sampled_from('BEGIN:VEVENT\nSUMMARYDTSTART;=,"\\0129TZ- ')))
def test_any_calendar_is_read(source: str) -> None:
    calendar.read(source)
    calendar.read(EVENT.format("", source))


@settings(deadline=None)
@given(st.text("ab >\n", max_size=60))
def test_unflowing_loses_no_word(text: str) -> None:
    found = flowed.unflow(text)

    assert found.replace(">", " ").split() == text.replace(">", " ").split()


@settings(deadline=None)
@given(
    st.text(
        st.characters(codec="cp932", exclude_categories=["Cc"], exclude_characters="\xa2\xa3\xac\u2016\u2212\u301c")
    )
)
def test_japanese_is_read_back_whatever_row_it_is_from(text: str) -> None:
    assume(all(not 0xF0 <= char.encode("cp932")[0] <= 0xFC for char in text if len(char.encode("cp932")) == 2))
    assume(all(char.isascii() or len(char.encode("cp932")) == 2 for char in text))
    plain = text.encode("cp932").decode("cp932")

    assert japanese.decode(jis(text)) == plain
    assert charsets.decode(jis(text), "ISO-2022-JP") == plain.replace("\x00", "\ufffd")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_a_uuencoded_file_is_taken_out_of_the_text(data: bytes) -> None:
    lines = [binascii.b2a_uu(data[at : at + 45]).decode() for at in range(0, len(data), 45)]
    text, files = uu.extract("before\nbegin 644 a b.bin\n" + "".join(lines) + "`\nend\nafter")

    assert (text, files) == ("before\nafter", [uu.Encoded("a b.bin", data)])


@pytest.mark.parametrize(
    "text", ["begin 644 x\nno data\nend", "begin 644 x\n", "begin the day\nend", "begin 644 x\n#AAAA"]
)
def test_what_only_looks_uuencoded_stays_text(text: str) -> None:
    assert uu.extract(text) == (text, [])


@pytest.mark.parametrize("data", [OPAQUE, BER])
def test_signed_content_cut_anywhere_is_survived(data: bytes) -> None:
    whole = cms.content(data)

    assert whole is not None
    assert cms.kind(data) == "signed"
    for end in range(len(data)):
        assert (cms.content(data[:end]) or b"") in whole


@settings(deadline=None)
@given(
    st.binary() | st.lists(st.sampled_from([b"\x30\x80", b"\xa0\x80", b"\x24\x80", cms.SIGNED, b"\0\0"])).map(b"".join)
)
def test_any_asn1_is_read(data: bytes) -> None:
    cms.content(data)
    cms.content(b"\x30\x80" + cms.SIGNED + b"\xa0\x80" + data)


def test_encrypted_content_is_not_taken_for_signed() -> None:
    enveloped = tlv(0x30, cms.ENVELOPED, tlv(0xA0, tlv(0x30, b"\2\1\0")))

    assert cms.kind(enveloped) == "encrypted"
    assert cms.content(enveloped) is None


def test_armor_around_a_text_is_taken_off_and_the_rest_stays() -> None:
    begin, signature, end = (f"-----{name}-----" for name in BANNERS)
    signed = f"{begin}\nHash: SHA256\n\na\n- -b\n{signature}\nx\n{end}"

    assert crypto.clear(f"before\n{signed}\nafter") == "before\na\n-b\nafter"
    assert crypto.clear(signed.partition("\nx\n")[0]) == "a\n-b"
    assert crypto.clear(f"{begin}\nnever signed") == f"{begin}\nnever signed"


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200), st.sampled_from(['"', "'", ""]))
def test_a_picture_in_the_html_becomes_a_file(data: bytes, quote: str) -> None:
    encoded = base64.b64encode(data)
    source = b"<p>x<img src=" + quote.encode() + b"data:image/png;base64," + encoded + quote.encode() + b" alt=y>"
    found, (picture,) = dataurl.extract(source, "1.part.invalid")

    assert (picture.mime, picture.data()) == ("image/png", data)
    assert found == source.replace(b"data:image/png;base64," + encoded, b"cid:data-1@1.part.invalid")


@pytest.mark.parametrize(
    "source",
    [b'<img src="data:image/svg+xml,%3Csvg%3E">', b"<img src='data:text/html;base64,AA'>", b"data:image/png;base64,AA"],
)
def test_other_data_urls_stay(source: bytes) -> None:
    assert dataurl.extract(source, "x") == (source, [])


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_a_date_as_the_standard_writes_it_is_read_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, year=1971 + moment.year % 200, day=min(moment.day, 28))

    assert dates.read(f"{whole:%a, %d %b %Y %H:%M:%S +0000}") == whole
    assert dates.read(whole.isoformat()) == whole


@settings(deadline=None)
@given(st.text(max_size=120) | st.text("0123456789:+-., GMTJanFri()", max_size=60))
def test_any_date_is_a_date_or_none(value: str) -> None:
    dates.read(value)


@pytest.mark.parametrize("last", ["Sent via DHL on Monday", "Sent from my iPhone? No!", "I sent it from my iPhone"])
def test_a_last_line_of_the_customer_s_own_stays(last: str) -> None:
    assert quotes.split(f"Where is it?\n\n{last}").own.endswith(last)


def test_all_html_of_a_mail_is_read_up_to_one_bound() -> None:
    piece = b"--b\r\nContent-Type: text/html\r\n\r\n" + b"<p>x</p>" * 25_000 + b"\r\n"
    content = Content(parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + piece * 8 + b"--b--\r\n"))

    assert [one.mime for one in content.attachments] == ["text/html"] * 3
    assert not content.attachments[0].name
    assert len(content.page) == 5


def test_a_picture_that_was_pasted_is_in_the_page_and_among_the_files() -> None:
    source = f'<img src="data:image/png;base64,{base64.b64encode(PNG).decode()}">'.encode()
    content = Content(parse(b"Content-Type: text/html\r\n\r\n" + source))

    assert [(one.section, one.mime, one.data()) for one in content.attachments] == [("0#1", "image/png", PNG)]
    assert content.attachments[0].content_id == "data-1@0.part.invalid"
