"""Presses of a menu, which WeChat and WeCom deliver alike.

https://developers.weixin.qq.com/doc/offiaccount/Custom_Menus/Custom_Menu_Push_Events.html
https://developer.work.weixin.qq.com/document/path/90240
"""

from __future__ import annotations

from collections.abc import Callable

from normalizer import parts as p
from normalizer.codecs.wechat_content import place
from normalizer.codecs.wechat_xml import Fields, nested, text
from normalizer.parts import AnyPart

Read = Callable[[Fields], list[AnyPart]]


def click(fields: Fields) -> list[AnyPart]:
    """Read a press of a button; of a card's it says which card."""
    return [p.ChoiceReply(item_id=text(fields, "EventKey"), of=text(fields, "TaskId") or None)]


def view(fields: Fields) -> list[AnyPart]:
    """Read a press that opened a page."""
    return [p.System(event="menu_view", args={"url": text(fields, "EventKey")})]


def _page_view(fields: Fields) -> list[AnyPart]:
    return [p.System(event="menu_view_miniprogram", args={"path": text(fields, "EventKey")})]


def _position(fields: Fields) -> list[AnyPart]:
    return [place(fields, "Latitude", "Longitude")]


def _scan(fields: Fields) -> list[AnyPart]:
    result = text(nested(fields, "ScanCodeInfo"), "ScanResult")
    return [*click(fields), *([p.Text(body=result)] if result else [])]


def _location(fields: Fields) -> list[AnyPart]:
    sent = nested(fields, "SendLocationInfo")
    words = {"name": text(sent, "Poiname") or None, "address": text(sent, "Label") or None}
    return [*click(fields), place(sent, "Location_X", "Location_Y", **words)]


READ: dict[str, Read] = {
    "view_miniprogram": _page_view,
    "LOCATION": _position,
    "scancode_push": _scan,
    "scancode_waitmsg": _scan,
    "pic_sysphoto": click,
    "pic_photo_or_album": click,
    "pic_weixin": click,
    "location_select": _location,
}
"""Event → its parts, for the names both platforms use; ``click`` and ``view`` each writes in its own way."""

UNASKED = frozenset({"VIEW", "view", "view_miniprogram", "LOCATION"})
"""What a person did not do for somebody to answer."""
