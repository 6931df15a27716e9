"""Passive replies, read by wechatpy as WeChat reads them."""

from __future__ import annotations

from typing import Any

import pytest
from wechatpy.parser import parse_message
from wechatpy.replies import ArticlesReply, deserialize_reply

from normalizer import parts as p
from normalizer.codecs import wechat_xml
from normalizer.codecs.wechat import WechatCodec
from normalizer.model import Address
from normalizer.parts import AnyPart, Media
from normalizer.raw import Outbound
from tests.wechat_bench import CHANNEL

INFO = {"user": "oAda", "us": "gh_shop", "at": "1795176000"}
FILE = Media(id="med_1", status="stored", provider_id="MEDIA_ID")
THUMB = {"wechat": {"thumb_media_id": "THUMB_ID"}}


def message(*content: AnyPart, **fields: Any) -> Outbound:
    to = Address(scheme="wechat", value="oAda")
    return Outbound(id="msg_1", channel=CHANNEL, to=to, parts=content, **fields)


def rendered(*content: AnyPart, **fields: Any) -> Any:
    body = WechatCodec().passive(message(*content, **fields), INFO)
    assert body is not None
    reply = deserialize_reply(body)
    assert (reply.target, reply.source, reply.time) == ("oAda", "gh_shop", 1795176000)
    return reply


@pytest.mark.parametrize(
    "text", ["hello", "你好 👋", "a ]]> b & <xml> c", "tab\tand\nline", "\x00\x0bwithout\ufffe controls"]
)
def test_text(text: str) -> None:
    reply = rendered(p.Text(body=text))

    assert reply.type == "text"
    assert reply.content == text.translate({0: None, 0x0B: None, 0xFFFE: None})


def test_image() -> None:
    assert rendered(p.Image(media=FILE)).image == "MEDIA_ID"


def test_voice() -> None:
    assert rendered(p.Audio(media=FILE)).voice == "MEDIA_ID"


def test_video() -> None:
    reply = rendered(p.Video(media=Media(id="m", status="stored", provider_id="V", name="Title", caption="Words")))

    assert (reply.media_id, reply.title, reply.description) == ("V", "Title", "Words")


def test_music() -> None:
    song = Media(id="m", status="stored", url="https://cdn.example/a.mp3", name="Song")
    reply = rendered(p.Audio(media=song), metadata=THUMB)

    assert (reply.thumb_media_id, reply.title) == ("THUMB_ID", "Song")
    assert reply.music_url == reply.hq_music_url == "https://cdn.example/a.mp3"


def test_news() -> None:
    picture = Media(id="m", status="stored", url="https://cdn.example/a.jpg")
    link = p.ChoiceItem(id="1", title="Open", url="https://shop.example/")
    body = WechatCodec().passive(
        message(p.Card(items=(p.CardItem(title="New", body="Words", media=picture, items=(link,)),))), INFO
    )

    assert body is not None
    fields = wechat_xml.read(body)
    assert (fields["MsgType"], fields["ArticleCount"]) == ("news", "1")
    assert fields["Articles"]["item"] == {
        "Title": "New",
        "Description": "Words",
        "PicUrl": "https://cdn.example/a.jpg",
        "Url": "https://shop.example/",
    }
    theirs = ArticlesReply(source="gh_shop", target="oAda", time=int(INFO["at"]))
    theirs.add_article({"title": "New", "description": "Words", "image": picture.url, "url": link.url})
    assert fields == wechat_xml.read(theirs.render().encode())  # wechatpy reads no single article


@pytest.mark.parametrize(
    "content",
    [
        (p.Text(body="one"), p.Text(body="two")),
        (p.Text(body="x" * 2049),),
        (p.Text(body="   "),),
        (p.Image(media=Media(id="m", status="stored", provider_id="P", caption="two messages")),),
        (p.Choice(kind="buttons", body="?", items=(p.ChoiceItem(id="1", title="Yes"),)),),
        (p.Template(name="t", language="zh"),),
        (p.Card(items=(p.CardItem(title="1"), p.CardItem(title="2"))),),
        (p.Location(lat=1, lon=2),),
    ],
    ids=["two", "long", "blank", "caption", "menu", "template", "two cards", "unsendable"],
)
def test_what_one_passive_reply_cannot_say_goes_by_the_api(content: tuple[AnyPart, ...]) -> None:
    assert WechatCodec().passive(message(*content), INFO) is None


def test_a_reply_in_the_name_of_an_agent_or_to_somebody_else_goes_by_the_api() -> None:
    by_agent = message(p.Text(body="x"), metadata={"wechat": {"kf_account": "ada@shop"}})

    assert WechatCodec().passive(by_agent, INFO) is None
    assert WechatCodec().passive(message(p.Text(body="x")), {**INFO, "user": "oBob"}) is None


def test_what_the_simulator_writes_is_what_wechatpy_reads() -> None:
    found = parse_message(
        wechat_xml.write(
            {
                "ToUserName": "gh",
                "FromUserName": "oAda",
                "CreateTime": 1,
                "MsgType": "text",
                "Content": "]]>",
                "MsgId": 7,
            }
        )
    )

    assert (found.type, found.content, found.id, found.source) == ("text", "]]>", 7, "oAda")
