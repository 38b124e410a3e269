"""The mesh's paths as DRF views, only for drf-spectacular to make the OpenAPI document from."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.views import APIView

from mesh.doors.rest.exchange import answer
from mesh.doors.rest.middleware import for_django
from mesh.doors.rest.router import Resource, router

CANONICAL = "api/v1"


class OperationView(APIView):
    """One path of the mesh as a DRF view."""

    resource: Resource | None = None
    authentication_classes = ()
    permission_classes = ()

    def dispatch(self, request: HttpRequest, *args: Any, **path_parameters: str) -> HttpResponseBase:
        assert self.resource is not None
        return for_django(answer(request, self.resource, path_parameters, f"/{CANONICAL}"))


def url_patterns() -> Iterator[URLPattern]:
    """The canonical URLs of every operation."""
    for resource in router().resources.values():
        methods = [name.lower() for name in resource.methods]
        view: Any = type("MeshView", (OperationView,), {"resource": resource, "http_method_names": methods})
        for method in methods:
            setattr(view, method, OperationView.dispatch)
        url = resource.path.replace("{", "<str:").replace("}", ">")
        yield path(f"{CANONICAL}{url}", view.as_view())
