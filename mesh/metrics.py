"""The Prometheus metrics of all processes of this server, since it was started; and whether the schedule goes on."""

import contextlib
import math
import os
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from prometheus_client import REGISTRY, CollectorRegistry, multiprocess, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.declarations.registry import registry
from mesh.stores.postgres import fetch

_OFTEN = 60  # seconds: what is begun more rarely says too late that nothing is


def collector_registry() -> CollectorRegistry:
    """What this server has counted, and what its database tells of the schedule."""
    found = CollectorRegistry()
    found.register(_counted())
    found.register(_Schedule())
    return found


def serve() -> None:
    """Shows the metrics of a process that answers nothing else at METRICS_PORT, where one is set."""
    if settings.METRICS_PORT:
        start_http_server(settings.METRICS_PORT, registry=_counted())


def _counted() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    found = CollectorRegistry()
    multiprocess.MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    return found


class _Schedule(Collector):
    """How long ago periodic jobs were done: without a relay, or without workers, none is any more."""

    def collect(self) -> Iterator[Metric]:
        with contextlib.suppress(DatabaseError, InterfaceError):
            name, meaning = "meshwork_periodic_job_seconds", "Time since a periodic job was done; +Inf after an hour."
            family = GaugeMetricFamily(name, meaning, labels=["operation"])
            for operation, seconds in fetch(_LAST_DONE, [_periodic()]):
                family.add_metric([operation], math.inf if seconds is None else seconds)
            yield family


def _periodic() -> list[str]:
    return [name for name, job in registry.periodic_jobs().items() if job.every <= _OFTEN]


#: By an index, newest first, and none that is older than an hour: a scrape reads few rows.
_LAST_DONE = """
SELECT operation, extract(epoch FROM clock_timestamp() - finished_at)::float8
FROM unnest(%s::text[]) AS periodic (operation) LEFT JOIN LATERAL (
    SELECT finished_at FROM mesh_outbox AS job
    WHERE job.operation = periodic.operation AND finished_at > now() - interval '1 hour'
    ORDER BY finished_at DESC LIMIT 1
) AS last ON true
"""
