"""`omnigate init`."""

from __future__ import annotations

from gateway.commands.console import Config, line
from gateway.settings.bootstrap import ensure_demo_secrets
from gateway.settings.problems import shown
from gateway.settings.sources import find


def init(*, config: Config = None) -> None:
    """Make up what a configuration needs for trying out.

    Every missing `file:` secret whose name begins with `demo-` is created with random content. Running it again
    changes nothing; real secrets are never made up.

    Args:
        config: the configuration.
    """
    for file in ensure_demo_secrets(find(config)):
        line(f"created {shown(file)}")
