"""How the time that something takes grows with its size, which is the same on a busy machine."""

import math
import time
from collections.abc import Callable
from typing import Any

_TOO_QUICK = 0.05  # seconds of which it cannot be told how they grow


def exponent(call: Callable[[int], Any], small: int, large: int, times: int = 3) -> float:
    """About 1 where the time of `call(size)` grows with its size, 2 where with its square; 0 where it takes none.

    It is the time of this thread alone, and the best of some.
    """

    def best(size: int) -> float:
        took = []
        for _ in range(times):
            began = time.thread_time()
            call(size)
            took.append(time.thread_time() - began)
        return min(took)

    longest = best(large)
    return 0.0 if longest < _TOO_QUICK else math.log(longest / best(small), large / small)
