from typing import Any

import pytest

from nlakit.train.alarms import RULES, check, new_alarms


def _healthy(steps: int = 40) -> list[dict[str, Any]]:
    """A run as it should go: everything drifts a little, an evaluation every ten steps."""
    history = []
    for step in range(1, steps + 1):
        record: dict[str, Any] = {
            "step": step,
            "entropy": 1.5 - 0.01 * step,
            "kl": 0.002 * step,
            "length": 38.0 - 0.1 * step,
            "max_new_tokens": 96,
            "cap_rate": 0.01,
            "parse_rate": 0.99,
            "distinct": 0.9 - 0.002 * step,
            "head_finite": 1.0,
            "rollout_gap": 1e-5,
        }
        if step % 10 == 0:
            record |= {
                "fve_validation": 0.4 + 0.002 * step,
                "fve_shuffled": -0.5,
                "fve_zero": -0.4,
                "own_cross_entropy_true": 1.2,
                "own_cross_entropy_shuffled": 1.6,
                "own_cross_entropy_zero": 1.5,
            }
        history.append(record)
    return history


def _planted(key: str, value: float, last: int = 6) -> list[dict[str, Any]]:
    history = _healthy()
    for record in history[-last:]:
        if key in record:
            record[key] = value
    return history


PLANTED = {
    "vector_ignored": ("own_cross_entropy_shuffled", 1.21, "1.210 with another row's vector"),
    "entropy_collapsed": ("entropy", 0.1, "entropy fell from 1.47 to 0.10"),
    "length_at_cap": ("length", 95.0, "95 tokens long"),
    "kl_runs_away": ("kl", 2.5, "2.50 nats per token"),
    "head_not_finite": ("head_finite", 0.0, "not finite"),
    "parse_rate_falls": ("parse_rate", 0.5, "from 99 % to 50 %"),
    "texts_alike": ("distinct", 0.2, "from 89 % to 20 %"),
    "fve_falls": ("fve_validation", 0.3, "is 0.300, its best was 0.460"),
    "rollout_differs": ("rollout_gap", 0.3, "0.300 nats"),
}


def test_a_healthy_run_is_silent_at_every_step() -> None:
    """No prefix of a healthy history raises anything."""
    history = _healthy()
    assert [alarm.name for end in range(len(history) + 1) for alarm in check(history[:end])] == []


def test_every_rule_has_a_planted_failure() -> None:
    """A rule without a test that trips it could not be told from one that never fires."""
    assert set(PLANTED) == set(RULES)


@pytest.mark.parametrize("name", PLANTED)
def test_planted_failure_trips_its_own_rule_alone(name: str) -> None:
    """Each planted failure raises exactly its alarm, with the numbers seen, at the last step."""
    key, value, words = PLANTED[name]
    alarms = check(_planted(key, value))
    assert [(alarm.name, alarm.step) for alarm in alarms] == [(name, 40)]
    assert words in alarms[0].message


@pytest.mark.parametrize(
    ("key", "value"),
    [("fve_shuffled", 0.45), ("fve_zero", 0.46), ("own_cross_entropy_zero", 1.2)],
)
def test_each_control_close_to_the_true_vector_is_seen(key: str, value: float) -> None:
    """Shuffled and zero controls, in FVE and in cross-entropy, each tell on their own that the vector is ignored."""
    assert [alarm.name for alarm in check(_planted(key, value))] == ["vector_ignored"]


def test_many_cut_off_outputs_trip_the_length_alarm() -> None:
    """Outputs cut off at the cap count even while the mean length is moderate."""
    assert [alarm.name for alarm in check(_planted("cap_rate", 0.5))] == ["length_at_cap"]


@pytest.mark.parametrize("key", ["entropy", "parse_rate", "distinct", "kl"])
def test_one_odd_batch_raises_nothing(key: str) -> None:
    """Averages over a window ride out a single bad step."""
    history = _healthy()
    history[-1][key] = 0.5 * history[-1][key] if key != "kl" else 3.0
    assert check(history) == []


def test_an_alarm_is_told_once_until_it_was_silent() -> None:
    """The same alarm at the next step is not news; after a silence it is."""
    active: set[str] = set()
    bad, good = _planted("head_finite", 0.0), _healthy()
    assert [alarm.name for alarm in new_alarms(bad, active)] == ["head_not_finite"]
    assert new_alarms(bad, active) == []
    assert new_alarms(good, active) == []
    assert [alarm.name for alarm in new_alarms(bad, active)] == ["head_not_finite"]


def test_measures_that_are_missing_raise_nothing() -> None:
    """A record without evaluations, or an empty history, is no evidence."""
    assert check([]) == []
    assert check([{"step": 1, "fve_batch": 0.1}]) == []
