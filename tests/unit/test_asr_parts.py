"""Models on disk; and the gateway without the libraries of speech."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr import models
from asr.errors import MissingModel
from tests import voice


def model(folder: Path, features: str = "", *, old: bool = False) -> Path:
    for name, text in (("final.mdl", ""), ("mfcc.conf", features)):
        path = folder / name if old else folder / ("am" if name == "final.mdl" else "conf") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("old", [False, True])
def test_a_model_says_at_which_rate_it_must_be_fed(tmp_path: Path, *, old: bool) -> None:
    telephone = models.read(model(tmp_path / "a", "--sample-frequency=8000\n", old=old))
    studio = models.read(model(tmp_path / "b", "--use-energy=false\n", old=old))
    easy = models.read(model(tmp_path / "c", " --sample-frequency = 16000\n--allow-upsample=true\n", old=old))

    assert [one.feed_rate(8000) for one in (telephone, studio, easy)] == [8000, 16_000, 8000]
    assert [one.feed_rate(48_000) for one in (telephone, studio, easy)] == [48_000, 48_000, 48_000]
    assert models.read(model(tmp_path / "d", "--sample-frequency=often")).rate == models.RATE


def test_a_model_is_found_by_name_or_path(tmp_path: Path) -> None:
    model(tmp_path / "mine")
    (tmp_path / "other").mkdir()

    assert models.find("mine", tmp_path).path == models.find(str(tmp_path / "mine"), Path("/nowhere")).path
    for name, words in (("yours", "omnigate models install yours"), ("other", "is not a Vosk model"),
                        ("/no/where", "not installed"), ("../mine", "not installed")):  # fmt: skip
        with pytest.raises(MissingModel, match=words):
            models.find(name, tmp_path)


def test_the_gateway_needs_no_library_of_speech() -> None:
    """They are an extra: without it nothing may fail but speech."""
    program = """
import asyncio, sys
sys.modules.update(vosk=None, av=None, pysilk=None)
import gateway.app, gateway.commands.models
from pathlib import Path
from asr.errors import MissingModel
from asr.pool import Pool

async def main():
    pool = Pool({"en": sys.argv[1]}, Path("."), workers=1)
    try:
        pool.listen(language="en", rate=8000)
    except MissingModel as exc:
        print(exc)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(voice.MODEL)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Vosk is not installed (omnigate[asr])"), done.stderr
