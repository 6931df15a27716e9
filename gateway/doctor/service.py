"""The doctor of one process, as the app starts it."""

from __future__ import annotations

from gateway.channels import Channels
from gateway.core import Core
from gateway.doctor.mirror import Face
from gateway.doctor.rounds import Rounds
from gateway.doctor.verify import verify
from normalizer.checks import Verification

ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 -- compared with, not bound to


class Doctor:
    """Looks after the channels of one process."""

    def __init__(self, core: Core, channels: Channels, address: str) -> None:
        """Know the gateway by its public URL, and by the `address` it listens on."""
        face = Face(http=core.http, listener=f"http://{_here(address)}", public_url=core.settings.http.public_url)
        self._core, self._channels, self._face = core, channels, face
        self.run = Rounds(core, channels, face).run

    async def verify(self, channel_id: str) -> Verification:
        """Look at a channel from both sides; raises `KeyError`."""
        return await verify(self._core, self._face, self._channels[channel_id])


def _here(address: str) -> str:
    """Turn an address to listen on into one to connect to."""
    host, _, port = address.rpartition(":")
    return f"{ANYWHERE.get(host, host)}:{port}"
