"""Rate limits as texts, and the headers that tell what is left."""

import pytest

from mesh.calling.limits import Limit, Usage, refuse_if_exceeded
from mesh.errors import RateLimited


@pytest.mark.parametrize(
    ("text", "quota", "window"),
    [
        ("600/min", 600, 60), ("10/s", 10, 1), ("10/sec", 10, 1), ("5/h", 5, 3600), ("5/hour", 5, 3600), ("0/s", 0, 1),
        ("1000000/min", 1_000_000, 60),
    ],
)  # fmt: skip
def test_a_limit_is_so_many_in_a_window(text, quota, window):
    assert Limit.parse(text) == Limit(quota, window)


def test_off_is_no_limit():
    assert Limit.parse("off") is None


@pytest.mark.parametrize(
    "text", ["", "600", "600/day", "-1/min", "a/min", "1.5/s", "1 /s", "1/ s", "1/S", "OFF", "off ", "1/s\n", "١/s x"]
)
def test_another_text_is_refused_with_what_is_right(text):
    with pytest.raises(ValueError, match=r"a rate limit reads 600/min, 10/s, 1000/h or off, not "):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("used", "left", "exceeded"), [(0, 3, False), (1, 2, False), (3, 0, False), (4, 0, True), (400, 0, True)]
)
def test_the_headers_tell_what_is_left_and_when_it_begins_anew(used, left, exceeded):
    usage = Usage(Limit(3, 60), used, 17)
    assert usage.headers("read") == {
        "RateLimit": f'"read";r={left};t=17', "RateLimit-Policy": '"read";q=3;w=60',
    }  # fmt: skip
    assert usage.exceeded is exceeded


def test_beyond_the_limit_it_is_refused_with_the_seconds_to_wait():
    refuse_if_exceeded()
    refuse_if_exceeded(Usage(Limit(3, 60), 3, 17))
    with pytest.raises(RateLimited) as refused:
        refuse_if_exceeded(Usage(Limit(3, 60), 4, 17))
    assert refused.value.retry_after == 17
    assert refused.value.detail == "At most 3 requests in 60 seconds. Wait 17 seconds."


def test_a_limit_of_nothing_refuses_the_first():
    with pytest.raises(RateLimited):
        refuse_if_exceeded(Usage(Limit(0, 1), 1, 1))
