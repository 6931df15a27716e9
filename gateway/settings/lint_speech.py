"""What is odd about `[asr]`, and about channels that want speech recognised."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from asr import models
from asr.errors import MissingModel
from gateway.settings.findings import Finding
from gateway.settings.model import Settings


def lint_speech(settings: Settings) -> Iterator[Finding]:
    """Find models that are not there, and languages without one; nothing of it keeps the gateway from running."""
    named, folder = settings.asr.models, Path(settings.gateway.data_dir) / "models"
    if named and importlib.util.find_spec("vosk") is None:
        yield Finding(path="asr.models", message="Vosk is not installed", hint="omnigate[asr]", fatal=False)
    for language, name in named.items():
        try:
            models.find(name, folder)
        except MissingModel as exc:
            yield Finding(path=f"asr.models.{language}", message=str(exc), fatal=False)
    for channel in settings.channels.values():
        spoken = channel.options.language
        wanted = getattr(channel.options, "transcribe", True)  # of a kind that has calls
        if spoken and wanted and spoken not in named and channel.options.enabled:
            words = f"no model is configured for {spoken!r}"
            hint = f'[asr] models = {{ {spoken} = "…" }}; `omnigate models list` names some'
            yield Finding(path=f"channels.{channel.id}.language", message=words, hint=hint, fatal=False)
