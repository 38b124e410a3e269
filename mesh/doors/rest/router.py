"""Finds the operation for a path and a method."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from mesh.declarations.decorators import Route
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry


@dataclass(frozen=True)
class Resource:
    """One path and the operations behind its methods."""

    path: str
    segments: tuple[str, ...]
    methods: dict[str, tuple[Operation, Route]] = field(default_factory=dict)

    @property
    def allowed(self) -> list[str]:
        return [*self.methods, *(["HEAD"] if "GET" in self.methods else []), "OPTIONS"]

    def match(self, segments: list[str]) -> dict[str, str] | None:
        parameters = {}
        for own, requested in zip(self.segments, segments, strict=True):
            if own[0] == "{":
                parameters[own[1:-1]] = requested
            elif own != requested:
                return None
        return parameters


class Router:
    """Every path of the registry: one dictionary lookup for a fixed path, a few comparisons for one with parameters.

    If two match, the one with fewer parameters wins: `/events/{id}/attendees/export`.
    """

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self.resources: dict[str, Resource] = {}
        for operation in operations.values():
            for route in operation.declaration.routes:
                resource = self.resources.setdefault(route.path, Resource(route.path, route.segments))
                resource.methods[route.method] = (operation, route)
        self._fixed = {r.segments: r for r in self.resources.values() if "{" not in r.path}
        self._parameterized: dict[tuple[str, int], list[Resource]] = {}
        for resource in sorted(self.resources.values(), key=lambda resource: resource.path.count("{")):
            if "{" in resource.path:
                self._parameterized.setdefault((resource.segments[0], len(resource.segments)), []).append(resource)

    def match(self, path_info: str) -> tuple[Resource, dict[str, str], str] | None:
        """The resource at a path under any mount, its path parameters, and the mount (`/api/v1`, `/api/v2` or none)."""
        segments = path_info.strip("/").split("/")
        mount = ""
        if segments[0] == "api" and len(segments) > 2 and segments[1] in ("v1", "v2"):
            mount, segments = f"/api/{segments[1]}", segments[2:]
        if (fixed := self._fixed.get(tuple(segments))) is not None:
            return fixed, {}, mount
        for resource in self._parameterized.get((segments[0], len(segments)), ()):
            if (parameters := resource.match(segments)) is not None:
                return resource, parameters, mount
        return None


@cache
def router() -> Router:
    return Router(registry.operations)
