"""Histograms that are filled now and then hold what they would if they were told each time."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from gateway import telemetry
from gateway.telemetry import Durations


def test_what_is_handed_over_in_one_go_is_what_was_observed() -> None:
    registry = CollectorRegistry()
    one, other = (
        Histogram(name, "x", buckets=telemetry._SECONDS, registry=registry) for name in ("one_seconds", "other_seconds")
    )
    durations = Durations.of(one)
    assert Durations.of(one) is durations
    for seconds in (0.0, 0.001, 0.0011, 0.3, 10.0, 77.0, 0.3):
        durations.observe(seconds)
        other.observe(seconds)
        if seconds == 0.3:
            Durations.flush()
    Durations.flush()

    def samples(name: str) -> dict[tuple[str, str], float]:
        return {
            (sample.name.removeprefix(name), sample.labels.get("le", "")): sample.value
            for family in registry.collect()
            if family.name == name
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    assert samples("one_seconds") == samples("other_seconds")
