"""Which files WeCom takes, the same for apps and customer service (https://developer.work.weixin.qq.com/document/path/90253)."""

from __future__ import annotations

from connectors.weixin_media import Limit

MEGABYTE = 1024 * 1024
LEAST = 6
"""A file must be larger than 5 bytes."""

LIMITS = {
    "image": Limit("image", 10 * MEGABYTE, frozenset({"image/png", "image/jpeg"}), LEAST),
    "audio": Limit("voice", 2 * MEGABYTE, frozenset({"audio/amr"}), LEAST),
    "video": Limit("video", 10 * MEGABYTE, frozenset({"video/mp4"}), LEAST),
    "file": Limit("file", 20 * MEGABYTE, min_bytes=LEAST),
}
"""Part type → limits; a voice may last a minute."""

SIZES = {tag: limit.max_bytes for tag, limit in LIMITS.items()}
"""Part type → largest file, for `Capabilities.media`."""
