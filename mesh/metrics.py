"""The Prometheus metrics of all processes of this server since its start, and whether the schedule is alive."""

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

_FREQUENT = 60  # seconds; jobs that run more rarely would show too late that the schedule has stopped


def collector_registry() -> CollectorRegistry:
    """The Prometheus collectors of all processes of this server, and of the schedule."""
    collectors = CollectorRegistry()
    collectors.register(_process_collectors())
    collectors.register(_Schedule())
    return collectors


def serve() -> None:
    """Serves metrics at METRICS_PORT, if set: for processes without web requests, such as worker and relay."""
    if settings.METRICS_PORT:
        start_http_server(settings.METRICS_PORT, registry=_process_collectors())


def _process_collectors() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    collectors = CollectorRegistry()
    multiprocess.MultiProcessCollector(collectors)  # type: ignore[no-untyped-call]
    return collectors


class _Schedule(Collector):
    """How long ago each periodic job was last done, which shows whether the relay and the workers run."""

    def collect(self) -> Iterator[Metric]:
        with contextlib.suppress(DatabaseError, InterfaceError):
            name, meaning = "meshwork_periodic_job_seconds", "Time since a periodic job was done; +Inf after an hour."
            family = GaugeMetricFamily(name, meaning, labels=["operation"])
            for operation, seconds in fetch(_LAST_DONE, [_periodic()]):
                family.add_metric([operation], math.inf if seconds is None else seconds)
            yield family


def _periodic() -> list[str]:
    return [name for name, job in registry.periodic_jobs().items() if job.every <= _FREQUENT]


#: Uses an index, newest first, and ignores rows older than an hour, so that a scrape reads few rows.
_LAST_DONE = """
SELECT operation, extract(epoch FROM clock_timestamp() - finished_at)::float8
FROM unnest(%s::text[]) AS periodic (operation) LEFT JOIN LATERAL (
    SELECT finished_at FROM mesh_outbox AS job
    WHERE job.operation = periodic.operation AND finished_at > now() - interval '1 hour'
    ORDER BY finished_at DESC LIMIT 1
) AS last ON true
"""
