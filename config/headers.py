"""Security headers of every response, and request headers that are not believed.

It is a WSGI application, since most responses never pass through Django's middleware.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings

from mesh.doors.http.requests import is_trusted


class SecurityHeaders:
    """A WSGI application around another: adds missing headers to responses, drops untrusted ones of requests."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application
        self.headers = [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", settings.X_FRAME_OPTIONS),
            ("Referrer-Policy", settings.SECURE_REFERRER_POLICY),
        ]
        if settings.SECURE_HSTS_SECONDS:
            self.headers.append(("Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}"))
        self.admin = [*self.headers, ("Content-Security-Policy", settings.ADMIN_CONTENT_SECURITY_POLICY)]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_FORWARDED_PROTO" in environ and not is_trusted(environ.get("REMOTE_ADDR", "")):
            del environ["HTTP_X_FORWARDED_PROTO"]
            environ["wsgi.url_scheme"] = "http"  # gunicorn believes any client on this machine
        required = self.admin if environ["PATH_INFO"].startswith("/admin/") else self.headers

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            sent = {name for name, _ in headers}
            return start_response(status, headers + [header for header in required if header[0] not in sent], *error)

        return self.application(environ, start)
