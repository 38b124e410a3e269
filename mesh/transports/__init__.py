"""How a Call travels to the host that runs it: one small protocol, chosen per service by `MESH_ROUTES`."""

from functools import cache
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from mesh.call import Answer, Call
from mesh.transports.local import LocalTransport


class Transport(Protocol):
    def send(self, call: Call) -> Answer:
        """The answer of the host. Raises the same MeshError that the host raised."""


def transport_of(service: str) -> Transport:
    """The transport that leads to a service."""
    return _transports(settings.MESH["ROUTES"]).get(service, _LOCAL)


_LOCAL: Transport = LocalTransport()
_SCHEMES: dict[str, type[Transport]] = {"local": LocalTransport}


@cache
def _transports(routes: str) -> dict[str, Transport]:
    """`orders=local://,events=local://`: each service's transport."""
    found: dict[str, Transport] = {}
    for route in filter(None, routes.split(",")):
        service, _, address = route.partition("=")
        scheme = address.partition("://")[0]
        if scheme not in _SCHEMES:
            raise ImproperlyConfigured(f"MESH_ROUTES: {route!r} needs one of {', '.join(_SCHEMES)}://")
        found[service.strip()] = _SCHEMES[scheme]()
    return found
