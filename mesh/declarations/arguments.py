"""Binding: turns the arguments that were sent into the method's keyword arguments, or reports all errors at once."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from heapq import nsmallest
from typing import Any

from pydantic import BaseModel, ValidationError

from mesh.declarations.decorators import Route
from mesh.declarations.operations import Operation, Parameter, input_names
from mesh.errors import MAX_ERRORS, FieldError, Invalid, NotFound, field_errors

Values = dict[str, Any]


class Texts(dict[str, Any]):
    """Arguments from a form or a URL, not from JSON: the text `7` is an integer here."""


def bind_flat(operation: Operation, arguments: Mapping[str, Any]) -> tuple[Values, Values]:
    """Binds one flat object, JSON or `Texts`, as tools and forms send it. Raises Invalid.

    Returns (keyword arguments, the same as plain data).
    """
    return _Binding({"": arguments}).bind(operation, lambda _: ("",))


def bind_rest(
    operation: Operation, route: Route, path: Mapping[str, str], query: Mapping[str, str], body: Any
) -> tuple[Values, Values]:
    """Binds a request's path parameters, query string and body (JSON or `Texts`; empty if none was sent).

    Returns (keyword arguments, the same as plain data). Raises NotFound for an id in the path that no row can have,
    else Invalid.
    """
    if not (body or operation.is_body_operation):
        values, plain = _bind_url(operation, route, tuple(path.items()), tuple(query.items()))
        return {**values}, {**plain}
    if not isinstance(body, dict):
        raise Invalid.field(["body"], "Send a JSON object.", "dict_type")
    return _bind_sources(operation, route, {"path": path, "query": query, "body": body})


@lru_cache(maxsize=4096)
def _bind_url(
    operation: Operation, route: Route, path: tuple[tuple[str, str], ...], query: tuple[tuple[str, str], ...]
) -> tuple[Values, Values]:
    """Binds path and query string alone; cached, since the same ones come again and again."""
    return _bind_sources(operation, route, {"path": dict(path), "query": dict(query), "body": {}})


def _bind_sources(
    operation: Operation, route: Route, sources: Mapping[str, Mapping[str, Any]]
) -> tuple[Values, Values]:
    places = {"path": ("path",), "query": ("query",), "body": ("body",), "any": ("query", "body")}
    return _Binding(sources).bind(operation, lambda parameter: places[operation.where(parameter, route)])


class _Binding:
    def __init__(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        self.sources = sources
        #: False for texts, in which an integer is written as digits; None for JSON, which has integers of its own.
        self.strict = {source: False if _is_text(source, sent) else None for source, sent in sources.items()}
        self.left = {source: set(sent) for source, sent in sources.items()}
        self.values: Values = {}
        self.plain: Values = {}
        self.errors: list[FieldError] = []

    def bind(self, operation: Operation, places: Callable[[Parameter], tuple[str, ...]]) -> tuple[Values, Values]:
        for parameter in operation.parameters:
            if parameter.model is None:
                self._scalar(parameter, places(parameter))
            else:
                self._model(parameter, parameter.model, places(parameter)[0], operation)
        more = 0
        for source, names in self.left.items():
            for name in nsmallest(MAX_ERRORS, names):
                self._error(source, {"loc": [name], "msg": "Unknown field", "type": "extra_forbidden"})
            more += max(0, len(names) - MAX_ERRORS)
        if self.errors:
            raise Invalid(self.errors, more=more)
        return self.values, self.plain

    def _scalar(self, parameter: Parameter, sources: tuple[str, ...]) -> None:
        names = (parameter.name, *parameter.aliases)
        sent = [(source, name) for source in sources for name in names if name in self.sources[source]]
        for source, name in sent:
            self.left[source].discard(name)
        if not sent:
            if parameter.required:
                self._error(sources[-1], {"loc": [parameter.name], "msg": "Field required", "type": "missing"})
            else:
                self.values[parameter.name] = parameter.default
            return
        validated = []
        for source, name in sent:
            try:
                validated.append(
                    parameter.adapter.validate_python(self.sources[source][name], strict=self.strict[source])
                )
            except ValidationError as error:
                if source == "path" and (name == "id" or name.endswith("_id")):
                    raise NotFound("There is no such row, or it is not yours to see.") from None
                for item in field_errors(error):
                    self._error(source, {**item, "loc": [name, *_plain_loc(item["loc"])]})
        if len(validated) < len(sent):
            return
        if any(value != validated[0] for value in validated):
            self._error(sent[-1][0], {"loc": [sent[-1][1]], "msg": "Sent twice, and different", "type": "value_error"})
        self.values[parameter.name] = validated[0]
        self.plain[parameter.name] = parameter.adapter.dump_python(validated[0], mode="json")

    def _model(self, parameter: Parameter, model: type[BaseModel], source: str, operation: Operation) -> None:
        sent = self.sources[source]
        names = input_names(model) & self.left[source]
        self.left[source] -= names
        if not names and not operation.is_body_operation:
            self.values[parameter.name] = _default(model)
            return
        try:
            fields = {name: sent[name] for name in sent if name in names}
            value = model.model_validate(fields, strict=self.strict[source])
        except ValidationError as error:
            for item in field_errors(error):
                self._error(source, item)
            return
        self.values[parameter.name] = value
        self.plain |= value.model_dump(mode="json", exclude_unset=True, by_alias=True)

    def _error(self, source: str, error: FieldError) -> None:
        self.errors.append({**error, "loc": [source, *error["loc"]]} if source else error)


def _is_text(source: str, sent: Mapping[str, Any]) -> bool:
    return source in ("path", "query") or isinstance(sent, Texts)


def _plain_loc(loc: list[str | int]) -> list[str | int]:
    """Keeps positions in lists, and drops the names that pydantic gives to the branches of a union."""
    return [part for part in loc if isinstance(part, int)]


@cache
def _default(model: type[BaseModel]) -> BaseModel:
    return model()
