"""Pauses between the tries of a job: longer each time, never very long, and never all at once."""

import pytest

from mesh.worker.runs import _backoff


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 4), (3, 16), (4, 64), (5, 256), (6, 600), (30, 600)])
def test_each_pause_is_four_times_the_one_before_give_or_take_a_quarter(attempt, seconds):
    pauses = [_backoff(attempt) for _ in range(200)]
    assert min(pauses) >= 0.75 * seconds
    assert max(pauses) <= 1.25 * seconds
    assert len(set(pauses)) == 200
