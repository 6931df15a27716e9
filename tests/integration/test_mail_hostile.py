"""Mails made to hurt: each is stored and read, within the memory and the time of a small process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mail_corpus.hostile import BUILDERS

MEMORY = 512_000_000
CPU_SECS = 90
"""For all of them together, which take some 10: it tells quadratic from linear, not slow from fast."""

READER = """
import json, resource, sys
from datetime import datetime, timezone
from normalizer.codecs.email import EmailCodec, StoredPart, derived, stored
from normalizer.model import ChannelRef
from normalizer.raw import RawEvent
from tests.mail_corpus.hostile import hostile

resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
for mail in hostile():
    parts = {one.section: StoredPart("0" * 64, len(one.data()), one.notes) for one in derived(mail.body)}
    raw = RawEvent(channel=ChannelRef(id="support", type="email"), kind="email", body=mail.body,
                   received_at=datetime.now(timezone.utc), meta={"stored": stored(parts)})
    print(json.dumps([mail.name, [type(one).__name__ for one in EmailCodec().decode(raw)], len(parts)]), flush=True)
"""


@pytest.mark.slow
def test_each_is_read_within_half_a_gigabyte_and_in_time_that_grows_with_its_size() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(MEMORY), str(CPU_SECS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr[-2000:]
    assert [name for name, _, _ in found] == [f"hostile-{name}" for name in BUILDERS]
    assert [name for name, outcome, _ in found if outcome != ["Event"]] == []
    assert max(count for _, _, count in found) <= 201
