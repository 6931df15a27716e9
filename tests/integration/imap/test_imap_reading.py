"""Reading a mailbox of a real Dovecot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.api import Receipt
from connectors.email import imap_reader
from connectors.errors import Busy
from normalizer.raw import RawEvent
from tests.integration.imap.helpers import imap, mail, place, reading
from tests.servers.dovecot import Dovecot

HANDLED = {"\\Seen", "$OmnigateHandled"}


async def test_what_is_there_and_what_comes_arrives_once_in_order(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path, imap(dovecot)) as post:
        await post.accepted(2)
        for number in (3, 4):
            dovecot.add(mail(number))  # noticed by IDLE: polling would take 20 seconds
            await post.accepted(number, secs=5)
        await post.until(lambda: all(one.flags >= HANDLED for one in dovecot.stored()))
    assert post.subjects == [f"Question {number}" for number in (1, 2, 3, 4)]
    assert post.receipts() == [Receipt.ACCEPTED] * 4
    raw = post.taken[0][0]
    assert place(raw) == {"folder": "INBOX", "uidvalidity": place(raw)["uidvalidity"], "uid": 1}
    assert raw.body == mail(1)
    assert raw.meta["raw_ref"] == f"sha256:{sha256(mail(1)).hexdigest()}"


async def test_nothing_marks_a_mail_before_it_is_durable_and_people_may_read_along(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    dovecot.add(mail(1), mail(2))
    with dovecot.client() as person:
        person.select()
        person.uid("STORE", "1:*", "+FLAGS", "(\\Seen \\Answered)")
    seen: list[set[str]] = []
    async with reading(tmp_path, imap(dovecot)) as post:
        post.before = lambda _: seen.append({flag for one in dovecot.stored() for flag in one.flags})
        await post.accepted(2)
    assert all("$OmnigateHandled" not in flags for flags in seen)


async def test_reading_goes_on_where_it_was_after_a_restart(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path, imap(dovecot, after="nothing")) as post:
        await post.accepted(2)
        await asyncio.sleep(0.1)
    dovecot.add(mail(3))
    async with reading(tmp_path, imap(dovecot, after="nothing")) as again:
        await again.accepted(1)
    assert again.subjects == ["Question 3"]
    assert [set(one.flags) - {"\\Recent"} for one in dovecot.stored()] == [set(), set(), set()]


@pytest.mark.parametrize("capabilities", [None, "IMAP4rev1 UIDPLUS IDLE", "IMAP4rev1 LITERAL+"])
@pytest.mark.parametrize("folder", ["Erledigt", "Обработано & fertig/日本"])
async def test_mails_are_moved_with_move_or_without(
    make_dovecot: Callable[..., Dovecot], tmp_path: Path, capabilities: str | None, folder: str
) -> None:
    dovecot = make_dovecot(capabilities=capabilities)
    folder = folder.replace("/", "")  # the separator of folders; Dovecot has none in names
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path, imap(dovecot, after="move", move_to=folder)) as post:
        await post.accepted(2)
        await post.until(lambda: dovecot.count(folder) == 2)
        await asyncio.sleep(0.1)
    left = [set(one.flags) - {"\\Recent"} for one in dovecot.stored()]
    deletable = capabilities is None or "UIDPLUS" in capabilities
    assert left == ([] if deletable else [{"\\Deleted"}, {"\\Deleted"}])
    assert {one.body for one in dovecot.stored(folder)} == {mail(1), mail(2)}


async def test_only_handled_mails_are_deleted(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(mail(1), mail(2))
    with dovecot.client() as person:  # somebody has marked a mail, and may change their mind
        person.select()
        person.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
    async with reading(tmp_path, imap(dovecot, after="delete", start="new")) as post:
        await post.until(lambda: ("imap", None, False, None) in post.reports)
        await asyncio.sleep(0.1)
        dovecot.add(mail(3))
        await post.accepted(1)
        await post.until(lambda: dovecot.count() == 2)
    assert post.subjects == ["Question 3"]
    assert [one.uid for one in dovecot.stored()] == [1, 2]


async def test_a_folder_with_a_foreign_name_is_read_by_polling_where_there_is_no_idle(
    make_dovecot: Callable[..., Dovecot], tmp_path: Path
) -> None:
    dovecot = make_dovecot(capabilities="IMAP4rev1")
    folder = "Kundendienst & Größe"
    dovecot.add(mail(1), folder=folder)
    async with reading(tmp_path, imap(dovecot, folder=folder)) as post:
        await post.accepted(1)
        dovecot.add(mail(2), folder=folder)
        await post.accepted(2)
    assert place(post.taken[1][0])["folder"] == folder


async def test_ten_mails_without_message_id_are_ten_messages_and_stay_so(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.add(*(mail(number, message_id=False) for number in range(10)))
    async with reading(tmp_path, imap(dovecot, after="nothing")) as post:
        await post.accepted(10)
        await asyncio.sleep(0.1)
    dovecot.rebuild(77)
    async with reading(tmp_path, imap(dovecot, after="nothing")) as again:
        await again.until(lambda: len(again.taken) == 10)
    assert again.receipts() == [Receipt.DUPLICATE] * 10


@pytest.mark.parametrize("after", ["nothing", "flag"])
async def test_a_rebuilt_mailbox_is_read_again_and_brings_nothing_twice(
    dovecot: Dovecot, tmp_path: Path, after: str
) -> None:
    dovecot.add(mail(1), mail(2))
    async with reading(tmp_path, imap(dovecot, after=after)) as post:
        await post.accepted(2)
        await asyncio.sleep(0.2)
    dovecot.add(mail(3))
    dovecot.rebuild(4711)
    async with reading(tmp_path, imap(dovecot, after=after)) as again:
        await again.accepted(1)
        dovecot.add(mail(4))
        await again.accepted(2)
    assert again.subjects == ["Question 3", "Question 4"]
    assert {place(raw)["uidvalidity"] for raw, _ in again.taken} == {4711}
    # where handled mails are marked, they are not even fetched: the memory for duplicates may have forgotten them
    assert again.receipts().count(Receipt.DUPLICATE) == (2 if after == "nothing" else 0)


async def test_mails_from_before_the_start_stay_unread_even_when_the_mailbox_is_rebuilt(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    dovecot.add(mail(1), mail(2))
    for validity in (None, 99):
        if validity:
            dovecot.rebuild(validity)
        async with reading(tmp_path, imap(dovecot, start="new")) as post:
            await post.until(lambda: ("imap", None, False, None) in post.reports)
            await asyncio.sleep(0.2)
            assert post.taken == []
            dovecot.add(mail(3 if validity is None else 4))
            await post.accepted(1)
            await asyncio.sleep(0.1)


async def test_a_mail_that_fails_does_not_keep_its_neighbours_and_goes_to_the_quarantine(
    dovecot: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_reader, "AGAIN_SECS", (0.01, 0.02))
    dovecot.add(*(mail(number) for number in (1, 2, 3)))

    def fails(raw: RawEvent) -> None:
        if b"Question 2" in raw.body and "unreadable" not in raw.meta:
            raise ZeroDivisionError

    async with reading(tmp_path, imap(dovecot)) as post:
        post.before = fails
        await post.until(lambda: dovecot.count("Quarantine") == 1)
        rows = await post.rig.quarantine.list()
        kept = await post.rig.quarantine.get(rows[0].id)
    assert post.subjects == ["Question 1", "Question 3"]
    assert dovecot.stored("Quarantine")[0].body == mail(2)
    assert [one.uid for one in dovecot.stored()] == [1, 3]
    assert "ZeroDivisionError" in rows[0].reason
    assert kept is not None
    assert kept[1].body == mail(2)


async def test_a_busy_gateway_leaves_mails_where_they_are_and_comes_back_for_them(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    dovecot.add(mail(1), mail(2))
    refusals = iter([True, True])

    def busy(_raw: RawEvent) -> None:
        if next(refusals, False):
            assert not any(HANDLED & one.flags for one in dovecot.stored())
            raise Busy(0.05)

    async with reading(tmp_path, imap(dovecot)) as post:
        post.before = busy
        await post.accepted(2)
    assert post.subjects == ["Question 1", "Question 2"]
    told = [(reason is None, down) for component, reason, down, _ in post.reports if component == "imap"]
    assert told == [(True, False), (False, False), (False, False), (True, False)]


async def test_a_mail_above_the_limit_is_an_event_of_its_text_and_kept_as_a_whole(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    text = b"Content-Type: text/plain\r\n\r\nThe photo is attached.\r\n"
    photo = b"Content-Type: image/jpeg\r\nContent-Disposition: attachment; filename=a.jpg\r\n\r\n" + b"x" * 3_000_000
    head = (
        b'Message-ID: <big@x>\r\nSubject: Big\r\nFrom: a@b.example\r\nContent-Type: multipart/mixed; boundary="zz"\r\n'
    )
    body = head + b"\r\n--zz\r\n" + text + b"--zz\r\n" + photo + b"\r\n--zz--\r\n"
    dovecot.add(body, mail(2))
    async with reading(tmp_path, imap(dovecot, max_bytes=1_000_000)) as post:
        await post.accepted(2)
        blob = await post.channel._context.blobs.get(post.taken[0][0].meta["raw_ref"])
    raw, receipt = post.taken[0]
    assert blob == body
    assert receipt is Receipt.ACCEPTED
    assert raw.body == head + b"\r\n--zz\r\n" + text
    assert raw.meta["whole_bytes"] == str(len(body))
