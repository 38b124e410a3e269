"""The environment of the tests, set before Django's settings are read: `-p config.pytest_environment`.

Every xdist worker gets two Redis databases of its own, for the cache and the broker;
pytest-django gives it a Postgres database of its own.
"""

import os
import re

_WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)

os.environ.update(
    DEBUG="off",
    SIGNUP_OPEN="on",
    HTTPS="off",
    ALLOWED_HOSTS="*",
    MESH_CHECK_ANSWERS="on",
    RATE_LIMIT_READ="off",
    RATE_LIMIT_WRITE="off",
    RATE_LIMIT_LOGIN="off",
    RATE_LIMIT_SECONDS="off",
    EXPENSIVE_REQUESTS="100",
    EXPENSIVE_REQUESTS_EACH="100",
    RATE_LIMIT_BYTES="off",
    DOCUMENTS_DIR="",
    AWS_S3_BUCKET="",
    LOG_LEVEL="WARNING",
    LOG_FORMAT="json",
)
os.environ["SECRET_KEY"] = os.environ.get("SECRET_KEY") or "only-for-tests-only-for-tests-only-for-tests"
if "REDIS_URL" in os.environ:
    address = re.sub(r"(/\d+$|[?&](db|virtual_host)=\d+)", "", os.environ["REDIS_URL"])
    cache, broker = 2 + 2 * _WORKER, 3 + 2 * _WORKER
    if address.startswith("unix://"):
        path = address.removeprefix("unix://")
        os.environ.update(REDIS_URL=f"{address}?db={cache}", BROKER_URL=f"redis+socket://{path}?virtual_host={broker}")
    else:
        os.environ.update(REDIS_URL=f"{address}/{cache}", BROKER_URL=f"{address}/{broker}")
