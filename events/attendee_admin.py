"""The admin of attendees and registrations: inline under their event, and as lists."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet
from unfold.views import ChangeList

from events.models import Attendee, Registration, RegistrationStatus, place_in_line
from mesh.declarations.actors import Actor
from mesh.doors.admin import MeshModelAdmin, badge

SEAT_COLOURS = {RegistrationStatus.REGISTERED: "success", RegistrationStatus.WAITING: "warning"}
_ON_PAGE = 50  # attendees of an event


class RegistrationFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    _queryset: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queryset = _with_place_in_line(self._queryset)


class RegistrationList(ChangeList):  # type: ignore[misc]
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = _with_place_in_line(self.result_list)


class RegistrationInline(TabularInline):  # type: ignore[misc]
    model = Registration
    formset = RegistrationFormSet
    verbose_name_plural = "attendees"
    fields = readonly_fields = ("name", "email", "phone", "status_badge", "place", "registration_date")
    ordering = ("status", "pk")  # those with a seat, then the waiting list in order
    per_page = _ON_PAGE
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Registration]:
        rows: QuerySet[Registration] = super().get_queryset(request)
        return rows.select_related("event", "attendee")

    def name(self, registration: Registration) -> str:
        if registration.event.deleted_at:
            return registration.attendee.name
        url = reverse("admin:events_registration_change", args=[registration.pk])
        return format_html('<a href="{}" class="text-link">{}</a>', url, registration.attendee.name)

    @display(description="E-mail")
    def email(self, registration: Registration) -> str:
        return registration.attendee.email

    def phone(self, registration: Registration) -> str | None:
        return registration.attendee.phone

    @display(description="Status")
    def status_badge(self, registration: Registration) -> str:
        return badge(registration.status, SEAT_COLOURS)

    @display(description="Place in line")
    def place(self, registration: Any) -> int | None:
        number: int | None = registration.number
        return number


@admin.register(Attendee)
class AttendeeAdmin(MeshModelAdmin):
    change = "update_attendee"
    change_fields = ("name", "email", "phone")
    shown_fields = ("event_count", "registrar", "created_at", "updated_at")
    list_display = ("name", "email", "phone", "registrar", "event_count")
    list_select_related = ("registrar",)
    search_fields = ("name", "email", "phone")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attendee]:
        rows: QuerySet[Attendee] = super().get_queryset(request).visible_to(_actor_of(request))
        return rows.annotate(number=how_many(Registration.objects.current(), "attendee"))

    @display(description="Events", ordering="number")
    def event_count(self, attendee: Any) -> str:
        url = reverse("admin:events_registration_changelist")
        return format_html(
            '<a href="{}?attendee__id__exact={}" class="text-link">{}</a>', url, attendee.pk, attendee.number
        )


@admin.register(Registration)
class RegistrationAdmin(MeshModelAdmin):
    remove = "remove_attendee"
    #: The waiting list first: else, removing a seat would give it to somebody who is removed next.
    order = ("-status", "pk")
    shown_fields = ("event", "attendee", "phone", "status_badge", "place", "registration_date")
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, SEAT_COLOURS)}
    list_display = ("attendee", "event", "status_badge", "place", "registration_date")
    list_filter = ("status", "event__category")
    search_fields = ("attendee__name", "attendee__email", "event__name")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Registration]:
        rows: QuerySet[Registration] = super().get_queryset(request).visible_to(_actor_of(request))
        return rows.select_related("event", "attendee")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Registration | None:
        registration: Registration | None = super().get_object(request, object_id, from_field)
        return _with_place_in_line([registration])[0] if registration else None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RegistrationList]:
        return RegistrationList

    def phone(self, registration: Registration) -> str | None:
        return registration.attendee.phone

    @display(description="Status", ordering="status", label=SEAT_COLOURS)
    def status_badge(self, registration: Registration) -> str:
        return registration.status

    @display(description="Place in line")
    def place(self, registration: Any) -> int | None:
        number: int | None = registration.number
        return number

    def key_of(self, row: Registration) -> dict[str, Any]:
        return {"id": row.event_id, "attendee_id": row.attendee_id}


def _actor_of(request: Any) -> Actor:
    return Actor(request.user.pk, request.user.role)


def _with_place_in_line(rows: Iterable[Registration]) -> list[Any]:
    """The rows of a page, with their places on the waiting list as `number`.

    A query of its own, since an annotation would be computed for the rows of all pages before this one, too.
    """
    registrations: list[Any] = list(rows)
    waiting = [row.pk for row in registrations if row.status == RegistrationStatus.WAITING]
    places = dict(Registration.objects.filter(pk__in=waiting).values_list("pk", place_in_line()))
    for row in registrations:
        row.number = places.get(row.pk)
    return registrations


def how_many(rows: QuerySet[Any], key: str) -> Coalesce:
    """Counts the related rows of a row: as a subquery, which runs only for the rows of a page."""
    counts = rows.filter(**{key: OuterRef("pk")}).order_by().values(key).annotate(number=Count("pk"))
    return Coalesce(Subquery(counts.values("number")), 0)
