"""System checks: refuse to start the server with operations that are unsafe, unclear or undocumented."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from annotated_types import Le, Lt, MaxLen
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mesh import unscoped
from mesh.declarations.fields import TextLimits
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import Schema, arguments_schema
from mesh.mail.delivery import backend_of
from mesh.rows.visibility import MeshModel, MeshQuerySet
from mesh.stores.postgres import fetch

#: The verbs with which an operation's summary may begin, so that all services use the same ones.
VERBS = frozenset(
    """
    Accept Add Adjust Approve Archive Assign Call Cancel Confirm Count Create Delete End Export Get Import Invite List
    Merge Pay Place Receive Register Reject Remove Renew Request Respond Restore Retry Schedule Search Set Sign Start
    Stop Undo Update Withdraw
    """.split()
)
MOST_IN_SUMMARY = 80
MOST_IN_DESCRIPTION = 600
#: Words that add nothing to a name, such as in "The id of the meeting" for `meeting_id`.
_FILLERS = {"a", "an", "any", "its", "of", "s", "the", "this", "your"}


@register()
def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks that every MeshModel defines both `visible_to` and `audience`."""
    errors: list[CheckMessage] = []
    for model in apps.get_models():
        if not issubclass(model, MeshModel):
            continue
        rows = model._default_manager.all()
        if not isinstance(rows, MeshQuerySet) or type(rows).visible_to is MeshQuerySet.visible_to:
            errors.append(
                Error(f"{model.__name__}'s queryset has no visible_to of its own.", obj=model, id="mesh.E001")
            )
        if model.audience is MeshModel.audience:
            errors.append(Error(f"{model.__name__} has no audience of its own.", obj=model, id="mesh.E002"))
    return errors


@register()
def check_unscoped_reads(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks that every place that reads rows past visibility is listed, and that every listed place exists."""
    places, uses = unscoped.allowed(), list(unscoped.uses())
    hint = 'Read through self.rows(Model); or list the place in MESH["UNSCOPED"], and say why nobody sees too much.'
    loose: list[CheckMessage] = [
        Error(
            f"{use.place} reads rows past visibility, by {use.name} (line {use.line}).",
            hint=hint,
            id="mesh.E018",
        )
        for use in uses
        if use.place not in places
    ]
    return loose + [
        Error(f"{place} is listed as reading rows past visibility, and does not.", id="mesh.E019")
        for place in sorted(places.keys() - {use.place for use in uses})
    ]


@register()
def check_mail(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks that EMAIL_URL is valid."""
    try:
        if settings.EMAIL_URL:
            backend_of(settings.EMAIL_URL)
    except ValueError as error:
        return [Error(str(error), id="mesh.E011")]
    return []


@register()
def check_documents(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks that the S3 settings are complete, or absent."""
    errors: list[CheckMessage] = []
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint, *keys = (getattr(settings, name) for name in names)
    if not settings.AWS_S3_BUCKET:
        lost = ", ".join(name for name in names if getattr(settings, name))
        hint = "Set AWS_S3_BUCKET to keep documents in S3; without it they go to DOCUMENTS_DIR."
        return [Warning(f"Without AWS_S3_BUCKET, {lost} does nothing.", hint=hint, id="mesh.W002")] if lost else []
    if any(keys) and not all(keys):
        errors.append(Error("Of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set.", id="mesh.E016"))
    if not any(keys):
        hint = "That is right where the machine has a role; else set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        errors.append(Warning("AWS_S3_BUCKET is set without keys.", hint=hint, id="mesh.W003"))
    if endpoint and re.match(r"https?://[^/]", endpoint) is None:
        errors.append(Error("AWS_ENDPOINT_URL reads https://host:port.", id="mesh.E017"))
    return errors


@register()
def check_operations(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks that names and routes are unique, and that every operation is documented, typed and bounded."""
    operations = list(registry.operations.values())
    errors: list[CheckMessage] = [
        Error(f"Two services or operations are called {name}.", id="mesh.E003") for name in registry.duplicates
    ]
    routes = Counter((r.method, _shape(r.path)) for op in operations for r in op.declaration.routes)
    errors += [Error(f"Two operations answer {m} {p}.", id="mesh.E004") for (m, p), n in routes.items() if n > 1]
    for operation in operations:
        errors += [
            Error(f"{operation.service.__name__}.{operation.name} {fault}.", obj=operation.service, id=code)
            for code, fault in _faults(operation)
        ]
    return errors


@register()
def check_descriptions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks the descriptions of operations and arguments, which people and language models read."""
    errors: list[CheckMessage] = []
    for operation in registry.operations.values():
        if operation.description and (operation.declaration.routes or operation.declaration.tool):
            errors += [
                Error(f"{operation.service.__name__}.{operation.name} {fault}.", obj=operation.service, id=code)
                for code, fault in _unclear(operation)
            ]
    return errors


@register(Tags.database)
def check_database(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Checks that the database can ignore case in all languages, which search needs."""
    if not databases or fetch("SELECT upper('ä') = 'Ä'")[0][0]:
        return []
    hint = "Create it with a UTF-8 locale, such as: CREATE DATABASE … TEMPLATE template0 LOCALE 'C.UTF-8'."
    return [Warning("Search is blind to the case of letters such as ä in this database.", hint=hint, id="mesh.W001")]


def _shape(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _faults(operation: Operation) -> Iterator[tuple[str, str]]:
    if not operation.description:
        yield "mesh.E005", "has no docstring: people and LLMs read it"
    if operation.declaration.media and operation.returns is not str:
        yield "mesh.E010", "answers with a media type of its own, so it must return str or Iterator[str]"
    if operation.streams and (operation.is_command or operation.declaration.tool or not operation.declaration.media):
        yield "mesh.E013", "is streamed, so it must be a query with a media type, and no tool"
    if operation.declaration.takes and len(operation.argument_names) != 1:
        yield "mesh.E014", "takes a text as its body, so it must have one argument"
    declared = operation.declaration
    if operation.is_command and operation.location and (declared.creates is None) == (not declared.unlimited):
        yield "mesh.E020", "answers with a new row, so it must say what it creates, or why that is unlimited"
    if declared.creates is not None and not declared.creates.owner_field:
        yield "mesh.E021", f"creates {declared.creates.__name__}, which has no owner_field"
    if (to := declared.dispatches_to) and any(to not in route.names for route in declared.routes):
        yield "mesh.E024", f"dispatches to {to}, which its path does not name"
    if operation.calls_out and operation.declaration.job is not None and operation.declaration.job.mails_only:
        yield "mesh.E012", "is mails_only, so it must not call out: a dry run runs it"
    parameters = {parameter.name for parameter in operation.parameters}
    for name in {name for tag in operation.declaration.cache_tags for name in re.findall("{(.*?)}", tag)}:
        if name != "actor" and (name != "id" or name not in parameters):
            yield (
                "mesh.E015",
                f"is cached under a tag of {{{name}}}; a tag may name {{actor}}, and the path's {{id}}",
            )
    for route in operation.declaration.routes:
        for name in set(route.names) - parameters:
            yield "mesh.E006", f"has no parameter {name}, which its route {route.path} names"
    if operation.is_body_operation and sum(p.model is not None for p in operation.parameters) > 1:
        yield "mesh.E007", "has more than one body"
    names = Counter(name for parameter in operation.parameters for name in parameter.argument_names)
    for name in (name for name, times in names.items() if times > 1):
        yield "mesh.E008", f"takes {name} twice: tools send all arguments as one flat object"
    if operation.declaration.routes:
        for parameter in operation.parameters:
            if not _bounded(parameter.annotation, ()):
                yield "mesh.E009", f"takes {parameter.name} without a bound on its text, number or list"


def _unclear(operation: Operation) -> Iterator[tuple[str, str]]:
    verb = operation.summary.partition(" ")[0]
    if verb not in VERBS:
        yield "mesh.E022", f"must begin its docstring with a verb such as Get or Create, not with {verb!r}"
    if len(operation.summary) > MOST_IN_SUMMARY:
        yield "mesh.E022", f"has a first sentence of {len(operation.summary)} characters, more than {MOST_IN_SUMMARY}"
    if len(operation.description) > MOST_IN_DESCRIPTION:
        length = len(operation.description)
        yield "mesh.E022", f"has a docstring of {length} characters, more than {MOST_IN_DESCRIPTION}"
    for path, schema in _properties(arguments_schema(operation)):
        description = schema.get("description", "")
        if not description:
            yield "mesh.E023", f"takes {path} without a description"
        elif _words(description) <= _words(path) | _FILLERS:
            yield "mesh.E023", f"takes {path}, whose description only says its name: {description.rstrip('.')}"


def _properties(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Every property of an object, also of the objects in it, with its path: `items.product_id`."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{prefix}{name}", inner
        for part in (inner, inner.get("items", {}), *inner.get("anyOf", [])):
            yield from _properties(part, f"{prefix}{name}.")


def _words(text: str) -> set[str]:
    return set(re.findall("[a-z]+", text.lower()))


def _bounded(annotation: Any, metadata: tuple[Any, ...]) -> bool:
    """Whether every text in a type has a length, every integer a maximum and every list a size."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return all(_bounded_field(info) for info in annotation.model_fields.values())
    if hasattr(annotation, "__metadata__"):
        return _bounded(get_args(annotation)[0], (*metadata, *annotation.__metadata__))
    limits = [item for entry in metadata for item in (entry, *getattr(entry, "metadata", ()))]
    if annotation is str:
        return any(isinstance(item, (TextLimits, MaxLen)) for item in limits)
    if annotation is int:
        return any(isinstance(item, (Le, Lt)) for item in limits)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (list, dict):
        return any(isinstance(item, MaxLen) for item in limits) and all(_bounded(part, ()) for part in parts)
    return str(origin) == "typing.Literal" or all(_bounded(part, metadata) for part in parts)


def _bounded_field(info: FieldInfo) -> bool:
    return _bounded(info.annotation, tuple(info.metadata))
