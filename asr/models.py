"""Vosk models on disk: a folder with ``am/``, ``conf/`` and ``graph/``, as it comes out of the archive.

Layouts: https://alphacephei.com/vosk/models ("Model structure"). Nothing here needs the library.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from asr.errors import MissingModel

RATE = 16_000
"""Samples per second that Kaldi assumes where ``mfcc.conf`` does not say."""
_ACOUSTIC = ("am/final.mdl", "final.mdl")
_FEATURES = ("conf/mfcc.conf", "mfcc.conf")
_OPTION = re.compile(r"^\s*--(sample-frequency|allow-upsample)\s*=\s*(\S+)", re.MULTILINE)


class Model(Struct, frozen=True):
    """A model that is there.

    Attributes:
        path: of its folder.
        rate: samples per second it was made for; sound of a higher rate is brought down by Kaldi itself.
        upsamples: whether Kaldi takes sound of a lower rate, too.
    """

    path: Path
    rate: int = RATE
    upsamples: bool = False

    def feed_rate(self, rate: int) -> int:
        """Return the rate that sound of `rate` must be given at."""
        return rate if rate >= self.rate or self.upsamples else self.rate


def is_model(path: Path) -> bool:
    """Tell whether a folder holds a model."""
    return any((path / name).is_file() for name in _ACOUSTIC)


def find(name: str, folder: Path) -> Model:
    """Find a model by its name in `folder`, or by its path.

    Raises:
        MissingModel: it says how to get it.
    """
    path = Path(name).expanduser()
    if path.name == name:
        path = folder / name
    if not is_model(path):
        if path.exists():
            raise MissingModel(f"{path} is not a Vosk model (it has no am/final.mdl)")
        hint = f"`omnigate models install {name}`" if Path(name).name == name else "`omnigate models list`"
        raise MissingModel(f"the model {name} is not installed ({path}); {hint}")
    return read(path)


def read(path: Path) -> Model:
    """Read what a model says about itself."""
    text = next((file.read_text(errors="replace") for part in _FEATURES if (file := path / part).is_file()), "")
    options = dict(_OPTION.findall(text))
    try:
        rate = int(float(options.get("sample-frequency", RATE)))
    except ValueError:
        rate = RATE
    return Model(path=path, rate=rate, upsamples=options.get("allow-upsample") == "true")
