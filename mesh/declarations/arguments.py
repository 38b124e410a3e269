"""Arguments as they were sent become the method's keyword arguments, or all their errors at once."""

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
    """Arguments of a form or an address, not of JSON: a text such as `7` is an integer there."""


def bind_flat(operation: Operation, arguments: Mapping[str, Any]) -> tuple[Values, Values]:
    """One flat object, of JSON or `Texts`, as tools and forms send it: (keyword arguments, the same as plain data)."""
    return _Binding({"": arguments}).bind(operation, lambda _: ("",))


def bind_rest(
    operation: Operation, route: Route, path: Mapping[str, str], query: Mapping[str, str], body: Any
) -> tuple[Values, Values]:
    """A request's path parameters, query string and body, of JSON or `Texts`; `body` is empty where none was sent.

    Raises NotFound for an id in the path that no row can have, else Invalid.
    """
    if not (body or operation.is_body_operation):
        values, plain = _bound_to_url(operation, route, tuple(path.items()), tuple(query.items()))
        return {**values}, {**plain}
    if not isinstance(body, dict):
        raise Invalid.field(["body"], "Send a JSON object.", "dict_type")
    return _bound(operation, route, {"path": path, "query": query, "body": body})


@lru_cache(maxsize=4096)
def _bound_to_url(
    operation: Operation, route: Route, path: tuple[tuple[str, str], ...], query: tuple[tuple[str, str], ...]
) -> tuple[Values, Values]:
    """The arguments of a query that was sent nothing else: the same again and again."""
    return _bound(operation, route, {"path": dict(path), "query": dict(query), "body": {}})


def _bound(operation: Operation, route: Route, sources: Mapping[str, Mapping[str, Any]]) -> tuple[Values, Values]:
    places = {"path": ("path",), "query": ("query",), "body": ("body",), "any": ("query", "body")}
    return _Binding(sources).bind(operation, lambda parameter: places[operation.where(parameter, route)])


class _Binding:
    def __init__(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        self.sources = sources
        #: False where what was sent is text, in which an integer is written; None for JSON, which has integers.
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
        found = []
        for source, name in sent:
            try:
                found.append(parameter.adapter.validate_python(self.sources[source][name], strict=self.strict[source]))
            except ValidationError as error:
                if source == "path" and (name == "id" or name.endswith("_id")):
                    raise NotFound("There is no such row, or it is not yours to see.") from None
                for item in field_errors(error):
                    self._error(source, {**item, "loc": [name, *_plain_loc(item["loc"])]})
        if len(found) < len(sent):
            return
        if any(value != found[0] for value in found):
            self._error(sent[-1][0], {"loc": [sent[-1][1]], "msg": "Sent twice, and different", "type": "value_error"})
        self.values[parameter.name] = found[0]
        self.plain[parameter.name] = parameter.adapter.dump_python(found[0], mode="json")

    def _model(self, parameter: Parameter, model: type[BaseModel], source: str, operation: Operation) -> None:
        sent = self.sources[source]
        names = input_names(model) & self.left[source]
        self.left[source] -= names
        if not names and not operation.is_body_operation:
            self.values[parameter.name] = _default(model)
            return
        try:
            taken = {name: sent[name] for name in sent if name in names}
            value = model.model_validate(taken, strict=self.strict[source])
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
    """Places in a list stay; the names that pydantic gives to the branches of a union go."""
    return [part for part in loc if isinstance(part, int)]


@cache
def _default(model: type[BaseModel]) -> BaseModel:
    return model()
