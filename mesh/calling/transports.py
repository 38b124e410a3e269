"""How an Invocation travels to the host that runs it: a small protocol, chosen for each service by `MESH_ROUTES`."""

from collections.abc import Callable
from functools import cache
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from mesh.declarations.invocation import Answer, Invocation


class Transport(Protocol):
    def send(self, invocation: Invocation) -> Answer:
        """The answer of the host. Raises the same MeshError that the host raised."""


def transport_of(service: str) -> Transport:
    """The transport that leads to a service."""
    transport = _transports(settings.MESH["ROUTES"]).get(service)
    return _schemes["local"]() if transport is None else transport


def register(scheme: str, transport: Callable[[], Transport]) -> None:
    """Registers a transport under the scheme that `MESH_ROUTES` uses for it. Services without a route use `local`."""
    _schemes[scheme] = cache(transport)


_schemes: dict[str, Callable[[], Transport]] = {}


@cache
def _transports(routes: str) -> dict[str, Transport]:
    """Parses `orders=local://,events=local://` into the transport of each service. Raises ImproperlyConfigured."""
    transports: dict[str, Transport] = {}
    for route in filter(None, routes.split(",")):
        service, _, address = route.partition("=")
        scheme = address.partition("://")[0]
        if scheme not in _schemes:
            raise ImproperlyConfigured(f"MESH_ROUTES: {route!r} needs one of {', '.join(_schemes)}://")
        transports[service.strip()] = _schemes[scheme]()
    return transports
