"""The Prometheus metrics of all processes of this server, since it was started."""

import os

from django.conf import settings
from prometheus_client import REGISTRY, CollectorRegistry, multiprocess, start_http_server


def registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    found = CollectorRegistry()
    multiprocess.MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    return found


def serve() -> None:
    """Shows the metrics of a process that answers nothing else at METRICS_PORT, where one is set."""
    if settings.METRICS_PORT:
        start_http_server(settings.METRICS_PORT, registry=registry())
