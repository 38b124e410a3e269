"""All URLs except the mesh's own paths, which `mesh.doors.rest.middleware` answers first."""

from functools import cache
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

from accounts import pages as account_pages
from config import health, pages
from mesh.doors.http.responses import problem
from mesh.doors.rest.views import url_patterns
from mesh.errors import MethodNotAllowed
from shop import webhooks


@cache
def _document() -> bytes:
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(document)
    return rendered


def openapi(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document, generated once."""
    return HttpResponse(_document(), content_type="application/json")


handler400: Any = pages.bad_request
handler403: Any = pages.forbidden
handler404: Any = pages.not_found
handler500: Any = pages.server_error


#: The documentation pages may not load anything from elsewhere, whatever their scripts try.
_OWN_ASSETS = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:"
)


def reading(view: Any, content_security_policy: str = "") -> Any:
    """The view for GET and HEAD; other methods are refused with a problem."""

    def answer(request: HttpRequest) -> Any:
        if request.method not in ("GET", "HEAD"):
            refusal = MethodNotAllowed(f"{request.method} is not for this path; GET, HEAD are.")
            return problem(refusal, {"Allow": "GET, HEAD"})
        response = view(request)
        if content_security_policy:
            response["Content-Security-Policy"] = content_security_policy
        return response

    return csrf_exempt(answer)


urlpatterns: list[URLPattern | URLResolver] = [
    path("", csrf_exempt(pages.first)),
    re_path("^health/?$", reading(health.health), name="health"),
    re_path("^health/ready/?$", reading(health.ready)),
    re_path("^metrics/?$", reading(health.metrics)),
    re_path(r"^openapi\.json/?$", reading(openapi), name="openapi"),
    re_path("^docs/?$", reading(SpectacularSwaggerView.as_view(url_name="openapi"), _OWN_ASSETS)),
    re_path("^redoc/?$", reading(SpectacularRedocView.as_view(url_name="openapi"), _OWN_ASSETS)),
    re_path("^(?:reset|join)/?$", account_pages.password),
    re_path("^unsubscribe/?$", account_pages.unsubscribe),
    re_path("^(?:api/v[12]/)?payments/stripe/webhook/?$", webhooks.stripe),
    re_path("^task-api/health/?$", reading(health.health)),
    path("task-api/", include("tasks.task_api")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    *url_patterns(),
]
