"""The Django admin as a door: it reads rows as usual, and changes them through operations."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import CharField, ForeignKey, Model, QuerySet, TextField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from mesh.calling.client import Mesh
from mesh.declarations.actors import Actor
from mesh.declarations.arguments import Texts, bind_flat
from mesh.declarations.identity import identity
from mesh.declarations.invocation import Answer
from mesh.declarations.registry import registry
from mesh.doors.admission import Admission
from mesh.doors.http.responses import streamed
from mesh.errors import Invalid, MeshError


class MeshModelAdmin(ModelAdmin):  # type: ignore[misc]
    """Changes rows through operations: `add`, `change` and `remove` name them. Without one, the action is absent.

    The form's fields are the operation's arguments. A foreign key is sent as its id.
    """

    add: ClassVar[str] = ""
    change: ClassVar[str] = ""
    remove: ClassVar[str] = ""
    add_fields: ClassVar[tuple[str, ...]] = ()
    change_fields: ClassVar[tuple[str, ...]] = ()
    shown_fields: ClassVar[tuple[str, ...]] = ()
    #: The order in which an operation is called for several rows.
    order: ClassVar[tuple[str, ...]] = ("pk",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.add_fields if obj is None else (*self.change_fields, *self.shown_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if obj is None else self.shown_fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.add) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.change) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.remove) and super().has_delete_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Any]:
        """The form whose validation runs the operation, so that refusals are shown beside the fields."""
        form: type[Any] = super().get_form(request, obj, change, **kwargs)
        operation = self.change if change else self.add

        class OperationForm(form):  # type: ignore[misc]
            answer: Answer | None = None

            def _post_clean(inner) -> None:
                if not operation or inner.errors or (change and not inner.changed_data):
                    return
                arguments = arguments_of(inner, inner.changed_data if change else list(inner.fields))
                if change:
                    missing = object()
                    arguments = {n: v for n, v in arguments.items() if getattr(inner.instance, n, missing) != v}
                    if not arguments:
                        return
                    arguments["id"] = inner.instance.pk
                try:
                    inner.answer = self.call(request, operation, arguments)
                except Invalid as refusal:
                    for error in refusal.errors:
                        field = _field_of(inner, error["loc"])
                        inner.add_error(field, error["msg"])
                except MeshError as refusal:
                    inner.add_error(None, refusal.detail)

        return OperationForm

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        if not change:
            form.instance = self.model._default_manager.get(pk=form.answer.row_id)
        return form.instance

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Does nothing: the operation has saved the row."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Does nothing: the operation has saved what belongs to the row."""

    def get_inline_instances(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """No inlines on POST: they only show rows, and nothing is read from them."""
        return [] if request.method == "POST" else super().get_inline_instances(request, obj)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Long texts get several lines, and keep leading and trailing whitespace."""
        if isinstance(db_field, CharField) and (db_field.max_length or 0) > 255:
            kwargs["widget"] = UnfoldAdminTextareaWidget
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, TextField):
            field.strip = False
        return field

    def key_of(self, row: Any) -> dict[str, Any]:
        """The arguments that identify a row."""
        return {"id": row.pk}

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.call(request, self.remove, self.key_of(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.call_each(request, queryset, self.remove, "Deleted")

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Only the chosen rows. The operation decides what is deleted with them, or prevents it."""
        names = [str(row) for row in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, set(), []

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Does nothing: deletions and refusals are in the audit trail."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            actions["delete_selected"] = (_delete_selected, *actions["delete_selected"][1:])
        return actions

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Like Django's, but without a transaction around it: a refusal would roll back its own audit entry."""
        try:
            response: HttpResponse = self._delete_view(request, object_id, extra_context)
            return response
        except MeshError as refusal:
            messages.error(request, refusal.detail)
            meta = self.model._meta
            return HttpResponseRedirect(reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[object_id]))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Treats times in the URL that are out of range, such as the end of the year 9999, as invalid lookups."""
        try:
            return super().get_changelist_instance(request)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            response: HttpResponse = super().changelist_view(request, extra_context)
            return response
        except MeshError as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(request.get_full_path())

    def call(self, request: HttpRequest, name: str, arguments: dict[str, Any], *, dry_run: bool = False) -> Answer:
        """Calls an operation as the ADMIN who is signed in. Raises MeshError."""
        operation, (admission, mesh) = registry.operations[name], _admitted(request)
        return admission.call(mesh, operation, lambda: bind_flat(operation, Texts(arguments)), dry_run=dry_run)

    def call_each(self, request: HttpRequest, rows: QuerySet[Any], operation: str, done: str, **arguments: Any) -> None:
        """Calls an operation for each row, in `order`. A refusal is shown as a message, and the other rows go on."""
        count = 0
        for row in rows.order_by(*self.order):
            try:
                self.call(request, operation, {**self.key_of(row), **arguments})
                count += 1
            except MeshError as refusal:
                messages.error(request, f"{row}: {refusal.detail}")
        if count:
            messages.success(request, f"{done}: {count}.")

    def download(self, request: HttpRequest, name: str, **arguments: Any) -> HttpResponseBase:
        """The response that streams a query's file. Raises MeshError."""
        return streamed(registry.operations[name], self.call(request, name, arguments))


def _delete_selected(admin: MeshModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Asks for confirmation like Django's; then a refusal is shown as a message, and the other rows go on."""
    if "post" not in request.POST:
        return delete_selected(admin, request, queryset)
    admin.delete_queryset(request, queryset)
    return None


def _admitted(request: HttpRequest) -> tuple[Admission, Mesh]:
    """The admission of this request, made once, so that the request counts once however many rows it changes."""
    if "meshwork.admission" not in request.META:
        admission = Admission(request, _by_session, changes=request.method == "POST", door="admin")
        request.META["meshwork.admission"] = admission, admission.enter()
    admitted: tuple[Admission, Mesh] = request.META["meshwork.admission"]
    return admitted


def _by_session(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, None]:
    """Authenticates by the admin's session."""
    return identity().actor(request.user.pk or 0), None


def arguments_of(form: Any, names: list[str]) -> dict[str, Any]:
    """The form's values as an operation takes them: rows as ids; when adding, empty optional fields are left out."""
    arguments: dict[str, Any] = {}
    for name in names:
        value = form.cleaned_data[name]
        if isinstance(value, str):
            value = value.replace("\r\n", "\n")
        if isinstance(value, QuerySet):
            value = [row.pk for row in value]
        elif isinstance(value, Model):
            value = value.pk
        model_field = next((f for f in form._meta.model._meta.fields if f.name == name), None)
        if value in ("", None) and (form.instance.pk is None or not getattr(model_field, "null", False)):
            if form.instance.pk is None:
                continue
            value = ""
        arguments[f"{name}_id" if isinstance(model_field, ForeignKey) else name] = value
    return arguments


def badge(text: str, colours: Mapping[Any, str]) -> str:
    """The HTML of a badge, as Unfold shows it in lists."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colours.get(text, "")})


def _field_of(form: Any, loc: list[str | int]) -> str | None:
    for part in loc:
        for name in (str(part), str(part).removesuffix("_id")):
            if name in form.fields:
                return name
    return None
