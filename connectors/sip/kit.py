"""What the parts of a channel share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from connectors.api import Context
from connectors.prompts import Prompts
from connectors.sip.config import SipConfig
from connectors.sip.taping import Taping


@dataclass(slots=True, kw_only=True)
class Kit:
    """Options, context, prompts and recordings of one channel; `now` is the time in UTC."""

    config: SipConfig
    context: Context
    prompts: Prompts
    taping: Taping
    now: Callable[[], datetime]
