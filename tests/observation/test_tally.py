"""Statistics of many samples of an environment, by service."""

from __future__ import annotations

from pytest_gaia.observation.sampling import Reading, Tally


def reading(
    state: str = "ready",
    latency: float | None = 10.0,
    *,
    service: str = "gateway",
    version: str = "0.2",
    detail: str = "",
) -> Reading:
    return Reading(service, "http://g", state, detail, version, latency, state == "ready")


def tally_of(*readings: Reading) -> Tally:
    tally = Tally()
    for number, each in enumerate(readings):
        tally.add([each], f"t{number}")
    return tally


def test_availability_is_the_share_of_samples_in_which_it_was_well() -> None:
    gateway = tally_of(reading(), reading("degraded"), reading("unreachable", None), reading()).services["gateway"]

    assert (gateway.samples, gateway.well, gateway.availability) == (4, 2, 50.0)


def test_the_first_response_is_in_none_of_the_other_latencies() -> None:
    unreachable = reading("unreachable", None)
    gateway = tally_of(unreachable, reading(latency=4000.0), reading(latency=10.0), reading(latency=30.0)).services[
        "gateway"
    ]

    assert (gateway.first_ms, gateway.mean_ms, gateway.worst_ms) == (4000.0, 20.0, 30.0)


def test_one_response_alone_has_no_mean_and_no_worst() -> None:
    gateway = tally_of(reading()).services["gateway"]

    assert (gateway.first_ms, gateway.mean_ms, gateway.worst_ms) == (10.0, None, None)


def test_changes_are_reported_and_kept_with_their_time() -> None:
    tally = Tally()
    tally.add([reading()], "10:00")

    assert tally.add([reading("unhealthy", detail="reports 'unhealthy'")], "10:05") == [
        "gateway: ready → unhealthy: reports 'unhealthy'"
    ]
    assert tally.add([reading(version="0.3")], "10:10") == ["gateway: unhealthy → ready", "gateway: version 0.2 → 0.3"]
    assert tally.add([reading(version="0.3")], "10:15") == []
    assert [when for when, _ in tally.changes] == ["10:05", "10:10", "10:10"]


def test_a_service_that_flaps_all_night_does_not_fill_the_memory() -> None:
    tally = tally_of(*(reading("ready" if number % 2 else "degraded") for number in range(1000)))

    assert len(tally.changes) == 50
    assert tally.changes[-1] == ("t999", "gateway: degraded → ready")


def test_the_last_sample_decides() -> None:
    assert tally_of(reading("degraded"), reading()).well
    assert not tally_of(reading(), reading("degraded")).well
    assert not tally_of(reading(), reading("unreachable", None)).answered


def test_each_service_decides() -> None:
    tally = Tally()
    tally.add([reading(), reading("unreachable", None, service="chat")], "t")

    assert (tally.well, tally.answered) == (False, True)


def test_nothing_seen_is_not_well() -> None:
    tally = Tally()

    assert (tally.well, tally.answered) == (False, False)
