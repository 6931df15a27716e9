"""Expressions: faults are found early, and told without showing what was evaluated."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.codecs.declarative_expr import Expression, Unreadable

PATH = "$.receive.text"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("text..body", 'unexpected "." at column 5: text..body'),
        ("from-number", 'a key with a hyphen stands in double quotes: "sender-id"'),
        ("jion(',', x)", "unknown function jion(), did you mean join()?"),
        ("a.b[?nope(@)]", "unknown function nope()"),
        ("join(',')", "join() takes 2 arguments, not 1"),
        ("length(a, b)", "length() takes 1 argument, not 2"),
        ("merge()", "merge() takes at least 1 argument, not 0"),
        ("items[?type=='x", "Unclosed"),
        ("items[", "ends too early"),
        ("`word`", "words stand in single quotes"),
        ("", "cannot be empty"),
        ("(" * 3000, "nested too deep"),
    ],
)
def test_a_typo_is_named_with_its_option_when_it_is_compiled(text, reason):
    with pytest.raises(ValueError) as caught:
        Expression(text, PATH)

    assert str(caught.value).startswith(PATH + ": ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("join(',', @)", ["secret words", 1]),
        ("contains(@, `1`)", "secret words"),
        ("a < b", {"a": 1, "b": "secret words"}),
        ("sort(@)", ["secret words", 1]),
        ("@[::0]", ["secret words"]),
        ("sum(@)", ["secret words"]),
        ("max_by(@, &x)", [{"x": "secret words"}, {"x": 1}]),
        ("keys(@)", "secret words"),
    ],
)
def test_an_odd_value_is_reported_without_being_shown(text, value):
    with pytest.raises(Unreadable) as caught:
        Expression(text, PATH)(value)

    assert str(caught.value).startswith(PATH + ": ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from.phone", "+49"),
        ("from.name.first", None),
        ("nothing.at.all", None),
        ('"odd-key"', 1),
        ("from.phone || 'nobody'", "+49"),
        ("items[].n", [1, 2]),
        ("@.from.phone", "+49"),
        ("join('-', [from.phone, to_string(`7`)])", "+49-7"),
    ],
)
def test_expressions_find_what_is_there(text, found):
    value = {"from": {"phone": "+49", "name": "Ada"}, "odd-key": 1, "items": [{"n": 1}, {"n": 2}]}

    assert Expression(text, PATH)(value) == found


def test_conditions_have_the_truth_of_jmespath():
    condition = Expression("x", PATH)

    assert all(condition.true({"x": value}) for value in (True, 0, 0.0, 1, "no", [None], {"a": None}))
    assert not any(condition.true({"x": value}) for value in (False, None, "", [], {}))


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)
EXPRESSIONS = (
    "a",
    "a.b.c",
    "sort_by(a, &b)",
    "a[?b > c].c",
    "max(a) < min(b)",
    "join(a, b)",
    "to_number(a)",
    "to_string(@)",
    "avg(a)",
    "a[].b | [0]",
    "map(&ceil(b), a)",
    "not_null(a, b)",
    "contains(a, b)",
    "reverse(a)",
    "merge(a, b)",
    "*.*.c",
    "starts_with(a, b) && a || !c",
    "floor(a)",
    "a[1:0:-1]",
)


@given(text=st.sampled_from(EXPRESSIONS), value=VALUES)
def test_no_value_makes_an_expression_raise_anything_but_unreadable(text, value):
    with suppress(Unreadable):
        Expression(text, PATH)(value)
