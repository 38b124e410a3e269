"""Test helpers: a JSON client for one user, and a comparison of the two sides of visibility."""

import json
from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client

from mesh.declarations.actors import Actor
from mesh.rows.visibility import MeshModel


class Answered:
    """A response and its JSON."""

    def __init__(self, response: HttpResponse | StreamingHttpResponse) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.text = response.getvalue().decode()
        self.json: Any = json.loads(self.text) if self.text and "json" in response.headers["Content-Type"] else None

    def __repr__(self) -> str:
        return f"<{self.status} {self.text[:2000]}>"


class Api:
    """Calls the API as one user (`token`), or as nobody."""

    def __init__(self, token: str = "", mount: str = "/api/v1", **headers: str) -> None:
        self.client, self.token, self.mount, self.headers = Client(), token, mount, headers

    def request(self, method: str, path: str, data: Any = None, **headers: str) -> Answered:
        """`headers` as `Idempotency_Key="…"`; `data` is sent as JSON, or as it is where it is bytes."""
        extra: dict[str, Any] = {f"HTTP_{name.upper()}": value for name, value in {**self.headers, **headers}.items()}
        if self.token:
            extra.setdefault("HTTP_AUTHORIZATION", f"Bearer {self.token}")
        content_type = extra.pop("HTTP_CONTENT_TYPE", "application/json")
        body = b"" if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
        response: Any = self.client.generic(method, self.mount + path, body, content_type, **extra)
        return Answered(response)

    def get(self, path: str, **headers: str) -> Answered:
        return self.request("GET", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Answered:
        return self.request("POST", path, data, **headers)

    def patch(self, path: str, data: Any = None, **headers: str) -> Answered:
        return self.request("PATCH", path, data, **headers)

    def put(self, path: str, data: Any = None, **headers: str) -> Answered:
        return self.request("PUT", path, data, **headers)

    def delete(self, path: str, **headers: str) -> Answered:
        return self.request("DELETE", path, **headers)


def visibility_mismatches(model: type[MeshModel], actors: Iterable[Actor]) -> list[str]:
    """The rows for which `visible_to` and `audience` disagree, in words; `actors` must not be ADMINs."""
    mismatches = []
    manager: Any = model._default_manager
    audiences = {row.pk: row.audience() for row in manager.all()}
    for actor in actors:
        visible = set(manager.all().visible_to(actor).values_list("pk", flat=True))
        in_audience = {pk for pk, audience in audiences.items() if actor.cache_tag in audience or _is_public(audience)}
        mismatches += [
            f"{_name(model)} {pk}: {actor.cache_tag} sees it, but is not in its audience"
            for pk in visible - in_audience
        ]
        mismatches += [
            f"{_name(model)} {pk}: {actor.cache_tag} is in its audience, but does not see it"
            for pk in in_audience - visible
        ]
    return mismatches


def _is_public(audience: set[str]) -> bool:
    """Whether it includes a shared cache tag, such as `products`: everyone is in the audience."""
    return any(":" not in tag for tag in audience)


def _name(model: type[Model]) -> str:
    return model._meta.label
