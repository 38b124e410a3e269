"""The web server's application with views that fail, each in a way of its own."""

import os

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.wsgi import application as application


def broken(request: HttpRequest, how: str) -> HttpResponse:
    secret = os.environ["SECRET_OF_A_VIEW"]
    if how == "bug":
        raise ZeroDivisionError(secret)
    raise {"bad": BadRequest, "suspicious": SuspiciousOperation, "denied": PermissionDenied}[how](secret)


from config import urls  # noqa: E402  (which needs Django to be set up)

mounts = ("broken", "admin/broken", "api/v1/broken", "task-api/broken")
urls.urlpatterns[:0] = [path(f"{mount}/<how>", broken) for mount in mounts]
