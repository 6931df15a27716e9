"""Which files WeChat takes (https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html)."""

from __future__ import annotations

from connectors.wechat_config import CAPABILITIES
from connectors.weixin_media import Limit

_SIZES = CAPABILITIES.media
LIMITS = {
    "image": Limit("image", _SIZES["image"], frozenset({"image/png", "image/jpeg", "image/gif", "image/bmp"})),
    "audio": Limit("voice", _SIZES["audio"], frozenset({"audio/amr", "audio/mpeg", "audio/mp3"})),
    "video": Limit("video", _SIZES["video"], frozenset({"video/mp4"})),
}
"""Part type → limits; a voice may last a minute."""
