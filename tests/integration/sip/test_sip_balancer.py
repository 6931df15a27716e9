"""The dispatcher of `docker/kamailio`, as it is shipped, in front of sipp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.kamailio import Kamailio
from tests.servers.process import free_port, wait_until
from tests.servers.sipp import Sipp
from tests.sip import scenarios

NEVER = 600
"""sipp would take the OPTIONS of the balancer for calls."""
MakeSipp = Callable[[str], Sipp]


@pytest.fixture
def kamailio(tmp_path: Path) -> Iterator[Kamailio]:
    server = Kamailio(tmp_path / "kamailio")
    yield server
    server.stop()


def test_calls_are_spread_over_the_ports_and_each_ends_with_the_one_that_took_it(
    make_sipp: MakeSipp, kamailio: Kamailio
) -> None:
    callees = [make_sipp(scenarios.ANSWER).start(calls=4, at_once=10) for _ in range(2)]
    kamailio.dispatcher([callee.port for callee in callees], ping_secs=NEVER)
    caller = make_sipp(scenarios.TALK_AND_BYE)
    done = caller.run(kamailio.port, calls=8, at_once=8, per_second=40, pause_ms=600)
    assert (done.code, done.succeeded) == (0, 8), done.log + kamailio.output()[-3000:]
    assert [callee.wait().succeeded for callee in callees] == [4, 4]


def test_a_dead_port_is_passed_over_and_a_full_one_gets_nothing(make_sipp: MakeSipp, kamailio: Kamailio) -> None:
    callee, dead = make_sipp(scenarios.ANSWER).start(calls=4, at_once=10), free_port()
    kamailio.dispatcher([dead, callee.port], ping_secs=NEVER)
    caller = make_sipp(scenarios.TALK_AND_BYE)
    done = caller.run(kamailio.port, calls=4, at_once=4, per_second=20, pause_ms=3000)
    assert (done.code, done.succeeded) == (0, 4), done.log
    assert callee.wait().succeeded == 4


def test_a_caller_is_told_when_all_lines_are_busy(make_sipp: MakeSipp, kamailio: Kamailio) -> None:
    callee = make_sipp(scenarios.ANSWER).start(calls=2, at_once=10)
    kamailio.dispatcher([callee.port], maxload=1, ping_secs=NEVER)
    talking = make_sipp(scenarios.TALK_AND_BYE).start(kamailio.port, pause_ms=1500)
    wait_until(lambda: kamailio.load() == 1, timeout=10, what="a call is up")
    refused = make_sipp(scenarios.refused(503)).run(kamailio.port)
    assert refused.code == 0, refused.log
    assert talking.wait().code == 0
    again = make_sipp(scenarios.TALK_AND_BYE).run(kamailio.port, pause_ms=100)
    assert again.code == 0, again.log


def test_nobody_can_call_others_through_it(make_sipp: MakeSipp, kamailio: Kamailio) -> None:
    callee, victim = make_sipp(scenarios.ANSWER).start(), free_port()
    kamailio.dispatcher([callee.port], ping_secs=NEVER)
    # the URI names somebody else; the proxy is asked to carry it there
    done = make_sipp(scenarios.TALK_AND_BYE).run(victim, proxy=kamailio.port, pause_ms=100)
    assert done.code == 0, "it went to the gateway, not to the victim\n" + done.log
    assert callee.wait().succeeded == 1
