"""How the time that a parser takes grows with what it is sent."""

import math
import statistics
import time
from collections.abc import Callable, Sequence

LINEAR = 1.5  # an exponent below it is linear, with a logarithm and noise; quadratic is 2
_NEGLIGIBLE = 0.002  # seconds that nothing can be told from
_TRIES = 5


def hostile(unit: str, size: int) -> str:
    """`size` characters of the same again and again, and an end that fits none of them."""
    return (unit * (size // len(unit) + 1))[: size - 2] + "\x7fx"


def exponent(parse: Callable[[str], object], unit: str, sizes: Sequence[int]) -> float:
    """The exponent with which the time of `parse` grows from the first of some sizes to the last; the least of some.

    0 where even the last takes no time.
    """
    least = math.inf
    for _ in range(_TRIES):
        times = [_seconds(parse, hostile(unit, size)) for size in sizes]
        if times[-1] < _NEGLIGIBLE:
            return 0.0
        slope = statistics.linear_regression([math.log(size) for size in sizes], [math.log(took) for took in times])
        least = min(least, slope.slope)
        if least < LINEAR:
            break
    return least


def _seconds(parse: Callable[[str], object], text: str) -> float:
    """The processor's time of this thread alone, whatever else the machine does."""
    began = time.thread_time()
    parse(text)
    return max(time.thread_time() - began, 1e-6)
