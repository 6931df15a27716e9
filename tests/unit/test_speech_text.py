"""Numerals and masks of transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.parts import Segment, Word
from normalizer.speech import Style, is_card, text_of, tidy, whole

NUMERALS = Style(numerals=True)
CARDS = Style(mask="cards")
DIGITS = Style(mask="digits")
CARD = "four one one one one one one one one one one one one one one one"
KARTE = "vier eins eins eins eins eins eins eins eins eins eins eins eins eins eins eins"


def said(text: str, start_ms: int = 0, **fields: object) -> Segment:
    return Segment(start_ms=start_ms, end_ms=start_ms + 1000, text=text, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "my order number is four two seven", "my order number is 427"),
        ("en-GB", "double five oh one", "5501"),
        ("en", "one moment please", "one moment please"),
        ("en", "oh no", "oh no"),
        ("en", "twenty one orders", "21 orders"),
        ("en", "one hundred and twenty three thousand and four", "123004"),
        ("en", "two million five hundred", "2000500"),
        ("en", "nineteen eighty four", "19 84"),
        ("en", "eleven two", "11 2"),
        ("en", "thirty and forty", "30 and 40"),
        ("en", "a hundred times", "a hundred times"),
        ("de", "meine nummer ist vier zwo sieben", "meine nummer ist 427"),
        ("de", "einundzwanzig", "21"),
        ("de", "zweihundertdreiundvierzig", "243"),
        ("de-AT", "neunzehnhundertvierundachtzig", "1984"),
        ("de", "zweitausendsechs", "2006"),
        ("de", "eine frage und tausend dank", "eine frage und tausend dank"),
        ("fr", "quatre deux", "quatre deux"),
        ("fr", "1 2 3", "123"),
        ("en", "", ""),
    ],
)
def test_numbers_that_were_said_become_figures(language: str, text: str, expected: str) -> None:
    assert tidy(said(text), language, NUMERALS).text == expected


@given(st.integers(10, 999_999))
def test_every_english_cardinal_is_understood(number: int) -> None:
    assert tidy(said(english(number)), "en", NUMERALS).text == str(number)


@given(st.integers(13, 999_999))
def test_every_german_cardinal_is_understood(number: int) -> None:
    word = german(number)
    expected = word if word in {"hundert", "tausend"} else str(number)

    assert tidy(said(word), "de", NUMERALS).text == expected


@given(st.lists(st.sampled_from(["one", "two", "oh", "hundred", "and", "double", "hello", "twenty", "7", "zero"])))
def test_rewriting_twice_changes_no_more(words: list[str]) -> None:
    once = tidy(said(" ".join(words)), "en", Style(numerals=True, mask="digits"))

    assert tidy(once, "en", Style(numerals=True, mask="digits")).text == once.text


@pytest.mark.parametrize(("language", "spoken"), [("en", CARD), ("de", KARTE), ("fr", "4111 1111 1111 1111")])
def test_card_numbers_are_masked(language: str, spoken: str) -> None:
    found = tidy(said(f"hm {spoken} hm"), language, CARDS)

    assert found.text == f"hm {'*' * 16} hm"
    assert tidy(said(f"hm {spoken} hm"), language, Style()).text == f"hm {spoken} hm"


def test_other_long_numbers_are_masked_on_request_only() -> None:
    order = "one two three four five six seven eight nine zero one two three four"

    assert tidy(said(order), "en", CARDS).text == order
    assert tidy(said(order), "en", DIGITS).text == "*" * 14
    assert tidy(said("four two seven"), "en", DIGITS).text == "four two seven"


def test_a_partial_shows_no_beginning_of_a_card_number() -> None:
    assert tidy(said("my card is four one one one", stable=False), "en", CARDS).text == "my card is ****"


def test_a_segment_that_was_changed_has_no_words_that_would_show_it() -> None:
    words = tuple(Word(text=word, start_ms=0, end_ms=1) for word in CARD.split())

    assert tidy(said(CARD, words=words), "en", CARDS).words == ()
    assert tidy(said("hello", words=words[:1]), "en", CARDS).words == words[:1]


def test_a_card_number_said_in_several_breaths_is_found_in_the_whole() -> None:
    segments = [
        said("my card is four one one one", 0, speaker="caller"),
        said("one one one one", 2000, speaker="caller"),
        said("go on", 2500, speaker="gateway"),
        said("one one one one", 4000, speaker="caller"),
        said("one one one one thanks a lot nine nine", 6000, speaker="caller"),
    ]

    found = whole(segments, "en", CARDS)

    assert [one.text for one in found] == [
        "my card is ****", "****", "go on", "****", "**** thanks a lot nine nine",
    ]  # fmt: skip
    assert text_of(found) == "my card is **** **** go on **** **** thanks a lot nine nine"


def test_numbers_of_two_voices_or_after_a_long_pause_are_not_one() -> None:
    voices = [said(" ".join(CARD.split()[:8]), 0, speaker="a"), said(" ".join(CARD.split()[8:]), 1000, speaker="b")]
    pause = [said(" ".join(CARD.split()[:8]), 0), said(" ".join(CARD.split()[8:]), 100_000)]

    assert whole(voices, "en", CARDS) == tuple(voices)
    assert whole(pause, "en", CARDS) == tuple(pause)


@pytest.mark.parametrize("number", ["4111111111111111", "30569309025904", "371449635398431", "6011000990139424"])
def test_the_check_digit_decides(number: str) -> None:
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)

    assert is_card(number)
    assert is_card("99" + number)
    assert not is_card(wrong)


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
EINER = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
         "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"]  # fmt: skip
ZEHNER = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]


def english(number: int) -> str:
    """Write a number below a million, independently of the code under test."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" and {english(number % size)}" if number % size else ""
            return f"{english(number // size)} {name}{rest}"
    if number < 20:
        return ONES[number]
    return TENS[number // 10 - 2] + (f" {ONES[number % 10]}" if number % 10 else "")


def german(number: int) -> str:
    for size, name in ((1000, "tausend"), (100, "hundert")):
        if number >= size:
            head = "" if number // size == 1 else german(number // size)
            if head.endswith("eins"):
                head = head[:-1]
            return head + name + (german(number % size) if number % size else "")
    if number < 20:
        return EINER[number]
    unit = {1: "ein"}.get(number % 10, EINER[number % 10])
    return (f"{unit}und" if number % 10 else "") + ZEHNER[number // 10 - 2]
