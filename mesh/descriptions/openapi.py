"""Operations as an OpenAPI 3.1 document, through drf-spectacular."""

from typing import Any

from django.apps import apps
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from mesh import errors
from mesh.declarations.decorators import Route
from mesh.declarations.operations import Operation
from mesh.declarations.permissions import anyone, in_person
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import Schema, inlined, parameter_schema, with_components

PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The kind of refusal, the same for every request."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong with this request, and what to do."},
        "code": {"type": "string", "description": "The kind of refusal, for programs.", "examples": ["events.full"]},
        "errors": {
            "type": "array",
            "description": "Every fault of the input at once; `loc` is the path to the faulty value.",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}

#: The components that the operations refer to; filled while the document is generated.
_components: dict[str, Schema] = {}


class OperationSchema(AutoSchema):
    """Describes a path of the mesh by its operation, and other views as drf-spectacular does."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, component_registry: Any) -> Any:
        resource = getattr(self.view, "resource", None)
        if resource is None:
            return super().get_operation(path, path_regex, path_prefix, method, component_registry)
        operation, route = resource.methods[method]
        return describe(operation, route)


def describe(operation: Operation, route: Route) -> Schema:
    """The OpenAPI Operation Object of one route."""
    first = route is operation.declaration.routes[0]
    described: Schema = {
        "operationId": operation.name if first else f"{operation.name}_{_suffix(operation, route)}",
        "summary": operation.summary,
        "description": operation.details or operation.description,
        "tags": [operation.service_name],
        "security": _security(operation),
        "parameters": [*_parameters(operation, route), *_headers(operation)],
        "responses": _responses(operation, route),
    }
    if (body := _body(operation, route)) is not None:
        described["requestBody"] = body
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """The credentials that the operation accepts, any one of them; for an API key, the scope that it needs."""
    allow, key = operation.declaration.allow, {"apiKey": [operation.key_scope] if operation.key_scope else []}
    if allow is anyone:
        return [{}] if operation.declaration.any_key else [{}, {"bearer": []}, key]
    return [{"bearer": []}] if allow is in_person else [{"bearer": []}, key]


def _suffix(operation: Operation, route: Route) -> str:
    """The suffix for the id of a further route: its method, or its position in the list."""
    same_path = [r for r in operation.declaration.routes if r.path == operation.declaration.routes[0].path]
    return route.method.lower() if route in same_path else str(operation.declaration.routes.index(route) + 1)


def _parameters(operation: Operation, route: Route) -> list[Schema]:
    described = []
    for parameter in operation.parameters:
        where = operation.where(parameter, route)
        if where == "path":
            described.append(_parameter(parameter.name, "path", parameter_schema(parameter), required=True))
        elif where in ("query", "any") and parameter.model is None:
            names = (parameter.name, *parameter.aliases)
            needed = parameter.required and where == "query" and len(names) == 1
            described += [_parameter(name, "query", parameter_schema(parameter), required=needed) for name in names]
        elif where == "query" and parameter.model is not None:
            model = inlined(parameter.model)
            required = model.get("required", [])
            described += [_parameter(n, "query", s, required=n in required) for n, s in model["properties"].items()]
    return described


def _parameter(name: str, where: str, schema: Schema, *, required: bool) -> Schema:
    schema = dict(schema)
    described: Schema = {"name": name, "in": where, "required": required, "schema": schema}
    if "description" in schema:
        described["description"] = schema.pop("description")
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if options and len(options) < len(schema["anyOf"]):  # a query string has no null: leave the parameter out instead
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        described["schema"] = {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}
    return described


def _headers(operation: Operation) -> list[Schema]:
    if not operation.is_command:
        return []
    key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"}
    headers: list[Schema] = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": key,
            "description": "Repeats a request safely: the same key gives one effect and the same answer, for 24 hours.",
        }
    ]
    if operation.has_dry_run:
        headers.append(
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "enum": ["dry-run"]},
                "description": "`dry-run` reports what would happen, and changes nothing.",
            }
        )
    return headers


def _body(operation: Operation, route: Route) -> Schema | None:
    if operation.body is not None and operation.body.model is not None:
        schema = with_components(operation.body.model, "validation", _components)
        content = {"application/json": {"schema": schema}}
        if operation.declaration.form:
            content["application/x-www-form-urlencoded"] = {"schema": schema}
        if operation.declaration.takes:
            (argument,) = inlined(operation.body.model)["properties"].values()
            content[operation.declaration.takes] = {"schema": argument}
        required = bool(inlined(operation.body.model).get("required"))
        return {"required": required, "content": content}
    either = [p for p in operation.parameters if operation.where(p, route) == "any"]
    if not either:
        return None
    properties = {parameter.name: parameter_schema(parameter) for parameter in either}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"required": False, "content": {"application/json": {"schema": schema}}}


def _responses(operation: Operation, route: Route) -> Schema:
    success: Schema = {"description": "Success."}
    if operation.adapter is not None:
        schema = with_components(operation.returns, "serialization", _components)
        if operation.has_dry_run and operation.status == 200:
            schema = {"anyOf": [schema, {"$ref": "#/components/schemas/DryRun"}]}
        media = operation.declaration.media.partition(";")[0] or "application/json"
        success = {"description": "Success.", "content": {media: {"schema": schema}}}
    if operation.location:
        success["headers"] = {"Location": _header("The address of the new row.")}
    elif "cursor" in operation.argument_names:
        success["headers"] = {"Link": _header('The address of the next page, as `<…>; rel="next"`.')}
    elif operation.declaration.filename:
        success["headers"] = {"Content-Disposition": _header("The name of the file.")}
    responses = {str(operation.status): success}
    if operation.has_dry_run and operation.status != 200:
        responses["200"] = {
            "description": "A dry run: what would have happened.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DryRun"}}},
        }
    for error in _refusals(operation, route):
        content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        response: Schema = {"description": error.title, "content": content}
        if error is errors.Unauthenticated:
            response["headers"] = {"WWW-Authenticate": _header("The kind of credential to send.")}
        elif error in (errors.RateLimited, errors.Unavailable):
            response["headers"] = {"Retry-After": _header("The seconds to wait before the next try.")}
        responses[str(error.status)] = response
    return dict(sorted(responses.items()))


def _header(description: str) -> Schema:
    return {"description": description, "schema": {"type": "string"}}


def _refusals(operation: Operation, route: Route) -> list[type[errors.MeshError]]:
    refusals: list[type[errors.MeshError]] = [errors.Invalid, errors.Unauthenticated, errors.Forbidden]
    refusals += [errors.RateLimited, errors.Malformed, errors.Unavailable]
    if route.names or operation.declaration.media:  # a file may be looked up by its query parameters
        refusals.append(errors.NotFound)
    if operation.is_command or operation.is_body_operation:
        refusals += [errors.Conflict, errors.TooLarge, errors.UnsupportedMediaType]
    return refusals


def add_components(result: Schema, generator: SchemaGenerator, request: Any, public: bool) -> Schema:
    """Adds the schemas, the security schemes and the tags to drf-spectacular's document."""
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_components)
    schemas["Problem"] = PROBLEM
    schemas["DryRun"] = _DRY_RUN
    components["schemas"] = dict(sorted(schemas.items()))
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token from `POST /auth/login`. It allows all that you may do.",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "A key from `POST /api-keys`, for a program or an agent. It allows what you may do, as far"
            " as its scopes go. Each operation names the scope that it needs, such as `orders:read`; `*`, `read` and"
            " `orders:*` include it. Send a key or a token, not both.",
        },
    }
    groups = {config.verbose_name: _services_of(config.label) for config in apps.get_app_configs()}
    groups["Mesh"] = groups.pop("Mesh")  # last, since it is about the server itself
    result["tags"] = [
        {"name": service.name, "description": (service.__doc__ or "").strip()}
        for services in groups.values()
        for service in services
    ]
    result["x-tagGroups"] = [
        {"name": name, "tags": [service.name for service in services]} for name, services in groups.items() if services
    ]
    return result


def _services_of(label: str) -> list[type[Any]]:
    """The services of an app that have routes, by name."""
    routed = {operation.service for operation in registry.operations.values() if operation.declaration.routes}
    return sorted((s for s in routed if s.__module__.partition(".")[0] == label), key=lambda service: str(service.name))


_DRY_RUN: Schema = {
    "type": "object",
    "title": "DryRun",
    "description": "What a command would have done. Nothing was changed.",
    "required": ["dry_run", "result", "jobs", "mails"],
    "properties": {
        "dry_run": {"const": True},
        "result": {"description": "The answer of the command; null where it has none."},
        "jobs": {
            "type": "array",
            "items": {"type": "object"},
            "description": "The background jobs that would have been started.",
        },
        "mails": {
            "type": "array",
            "items": {"type": "object"},
            "description": "The mails that would have been written, whether or not their recipients want them.",
        },
        "mail_budget": {
            "type": "object",
            "description": "Beside `mails`: how many you may cause in a day (UTC), and how many you have, with these.",
            "required": ["limit", "used"],
            "properties": {"limit": {"type": "integer"}, "used": {"type": "integer"}},
        },
    },
}
