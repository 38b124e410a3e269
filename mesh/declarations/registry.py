"""Every service and operation of the process, by name."""

from typing import Any

from mesh.declarations.decorators import JobOptions
from mesh.declarations.operations import Operation
from mesh.declarations.permissions import in_person


class Registry:
    """Every service and operation of the process, by name."""

    def __init__(self) -> None:
        self.services: dict[str, type[Any]] = {}
        self.operations: dict[str, Operation] = {}
        self.duplicates: list[str] = []

    def add(self, service: type[Any]) -> None:
        if service.name in self.services:
            self.duplicates.append(service.name)
        self.services[service.name] = service
        for name in service.declarations():
            if name in self.operations:
                self.duplicates.append(name)
            self.operations[name] = Operation.of(service, name, getattr(service, name))

    def of_service(self, service: type[Any]) -> dict[str, Operation]:
        return {name: op for name, op in self.operations.items() if op.service is service}

    def periodic_jobs(self) -> dict[str, JobOptions]:
        """The jobs that begin by themselves, by name."""
        jobs = ((name, operation.declaration.job) for name, operation in self.operations.items())
        return {name: job for name, job in jobs if job is not None and job.every}

    def open_to_keys(self) -> list[str]:
        """The names of the services for which API keys can have scopes."""
        open_ = (op for op in self.operations.values() if op.key_scope and op.declaration.allow is not in_person)
        return sorted({operation.service_name for operation in open_})


registry = Registry()
