"""Putting a file into the running gateway (``POST /api/media``), for `omnigate send --file`."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.commands.console import Failure
from gateway.commands.target import reachable
from gateway.settings.load import load_sections
from gateway.settings.sources import find
from gateway.web.guard import admin_token
from normalizer.parts import Audio, File, Image, Media, MediaPart, Video

PUT_SECS = 120.0
_SHAPES: dict[str, type[Image | Audio | Video]] = {"image": Image, "audio": Audio, "video": Video}


async def put_in(path: Path, config: Path | None) -> Media:
    """Give a file to the gateway of a configuration; raises `Failure`, `SettingsError`."""
    gateway, admin = load_sections(find(config), "gateway", "admin")
    url = f"http://{reachable(admin.listen, '[admin] listen')}/api/media?name={quote(path.name, errors='replace')}"
    try:
        headers = {"Authorization": f"Bearer {admin_token(admin, Path(gateway.data_dir))}"}
        headers["Content-Type"] = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        content = _read(path)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PUT_SECS)) as http,
            http.post(url, data=content, headers=headers) as answer,
        ):
            body = await answer.read()
            if answer.status != 201:
                raise Failure(f"the gateway did not take {path}: {body[:200].decode('utf-8', 'replace').strip()}")
            return msgspec.json.decode(body, type=Media)
    except aiohttp.ClientError as exc:
        raise Failure(f"no gateway answers on its admin port: {exc}") from exc
    except OSError as exc:
        raise Failure(f"{exc.filename or path}: {exc.strerror or exc}") from exc


def _read(path: Path) -> bytes:
    return path.read_bytes()


def part_of(media: Media) -> MediaPart:
    """Choose the part that shows a media item as what it is."""
    return _SHAPES.get((media.mime or "").partition("/")[0], File)(media=media)
