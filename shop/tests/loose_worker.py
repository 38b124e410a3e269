"""A Celery worker that locks products in no order, and takes its time about it: `python -m shop.tests.loose_worker`.

With it crossed orders do wait for each other in a circle, so a test that sees no circle can see one.
"""

import random
import sys
import time

from config.celery import app
from mesh.stores.postgres import fetch
from shop import stock

PAUSE = 0.1  # seconds in which others may come in between


def one_by_one_in_no_order(sql, params=()):
    if sql is not stock._LOCK_PRODUCTS:
        return fetch(sql, params)
    rows = []
    for product in random.sample(params[0], len(params[0])):
        rows += fetch(sql, [[product]])
        time.sleep(PAUSE)
    return rows


if __name__ == "__main__":
    stock.fetch = one_by_one_in_no_order
    app.worker_main(sys.argv[1:])
