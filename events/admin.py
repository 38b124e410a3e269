"""The admin of events and categories."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from events.attendee_admin import RegistrationInline, how_many
from events.attendees import AlreadyRegistered, EventFull
from events.models import SOONEST_FIRST, Category, Event, EventStatus
from mesh.declarations.invocation import Answer
from mesh.doors.admin import MeshModelAdmin, badge
from mesh.errors import Invalid, MeshError

EVENT_COLOURS = {EventStatus.ACTIVE: "success", EventStatus.CANCELLED: "danger"}
_NEARLY_FULL = 80  # percent
#: The form field that shows an error without a field of its own, by the error's code.
_FIELDS = {AlreadyRegistered.code: "email", EventFull.code: "waitlist"}


class WhenFilter(admin.SimpleListFilter):
    title = parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("upcoming", "Upcoming"), ("today", "Today"), ("week", "This week"), ("now", "Running now"),
            ("past", "Past"),
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.localtime()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - timedelta(today.weekday())
        conditions = {
            "upcoming": Q(start_date__gt=now),
            "today": _overlaps(today, today + timedelta(1)),
            "week": _overlaps(monday, monday + timedelta(7)),
            "now": Q(start_date__lte=now, end_date__gt=now),
            "past": Q(end_date__lte=now),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


class DeletedFilter(admin.SimpleListFilter):
    title = parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *rest = super().choices(changelist)
        yield {**default, "display": "Not deleted"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(deleted_at__isnull=self.value() != "yes")


class SeatForm(forms.Form):
    """The person to register; the operation validates the fields."""

    name = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget)
    email = forms.CharField(required=False, label="E-mail", widget=UnfoldAdminEmailInputWidget)
    phone = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget)
    waitlist = forms.BooleanField(
        required=False, label="Onto the waiting list, where the event is full", widget=UnfoldBooleanWidget
    )


@admin.register(Event)
class EventAdmin(MeshModelAdmin):
    add, change, remove = "create_event", "update_event", "delete_event"
    add_fields = change_fields = (
        "name", "description", "location", "start_date", "end_date", "category", "capacity",
    )  # fmt: skip
    shown_fields = ("seats", "status_badge", "owner", "deleted_at", "created_at", "updated_at")
    autocomplete_fields = ("category",)
    list_display = ("when", "name", "category", "location", "seats", "status_badge", "owner")
    list_display_links = ("name",)
    list_filter = (WhenFilter, "status", "category", DeletedFilter)
    list_select_related = ("category", "owner")
    search_fields = ("name", "description", "location", "owner__email")
    date_hierarchy = "start_date"
    ordering = SOONEST_FIRST
    inlines = (RegistrationInline,)
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, EVENT_COLOURS)}
    actions = ("cancel_selected",)
    actions_detail = ("register", "export", "print", "cancel")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.deleted_at)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.deleted_at)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Leaves out the actions that this event would refuse."""
        event = self.get_object(request, object_id)
        if event is None or event.deleted_at:
            return []
        refused = () if event.is_active else ("register", "cancel")
        actions = super().get_actions_detail(request, object_id)
        return [action for action in actions if action.path not in refused]

    @display(description=f"When ({settings.TIME_ZONE})", ordering="start_date")
    def when(self, event: Event) -> str:
        return render_to_string("admin/events/event/when.html", {"event": event, **_when_context(event)})

    @display(description="Seats", ordering="attendee_count")
    def seats(self, event: Event) -> str:
        percent = 100 * event.attendee_count / (event.capacity or 1)
        nearly = event.capacity is not None and percent > _NEARLY_FULL
        state = "full" if event.is_full else "nearly full" if nearly else ""
        return render_to_string("admin/events/event/seats.html", {"event": event, "percent": percent, "state": state})

    @display(description="Status", ordering="status", label=EVENT_COLOURS)
    def status_badge(self, event: Event) -> str:
        return event.status

    @admin.action(description="Cancel", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Event]) -> None:
        self.call_each(request, queryset, "cancel_event", "Cancelled")

    @action(description="Cancel event", url_path="cancel", icon="event_busy", variant=ActionVariant.DANGER)
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        event, form = self._get_event(request, object_id), _bind(forms.Form, request)
        if form.is_valid() and self._call_for_form(request, form, "cancel_event", id=event.pk):
            messages.success(request, "Cancelled.")
            return _redirect_to_event(event.pk)
        text = "It can still be seen; its attendees are told by mail, unless it is over."
        page = {"title": f"Cancel {event}", "text": text, "button": "Cancel event", "variant": "danger"}
        return self._form_page(request, event, form, **page)

    @action(description="Register attendee", url_path="register", icon="person_add")
    def register(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        event, form = self._get_event(request, object_id), _bind(SeatForm, request)
        if form.is_valid():
            person = {name: value for name, value in form.cleaned_data.items() if value}
            if answer := self._call_for_form(request, form, "register_attendee", id=event.pk, **person):
                seat = json.loads(answer.body)
                position = seat["position"]
                outcome = f"waits for a seat, at place {position}" if position else "is registered"
                messages.success(request, f"{seat['name']} {outcome}.")
                return _redirect_to_event(event.pk)
        text = "They get a mail with a calendar file."
        return self._form_page(request, event, form, title=f"Register for {event}", text=text, button="Register")

    @action(description="Export attendees (CSV)", url_path="export", icon="download")
    def export(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._download_list(request, object_id, "export_attendees")

    @action(description="Print attendees", url_path="print", icon="print", attrs={"target": "_blank"})
    def print(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._download_list(request, object_id, "print_attendees")

    def _get_event(self, request: HttpRequest, object_id: str) -> Event:
        event: Event | None = self.get_object(request, object_id)
        if event is None or event.deleted_at:
            raise Http404
        return event

    def _call_for_form(self, request: HttpRequest, form: forms.Form, operation: str, **arguments: Any) -> Answer | None:
        """Calls an operation; on a refusal, adds its errors to the form and returns None."""
        try:
            return self.call(request, operation, arguments)
        except Invalid as refusal:
            for error in refusal.errors:
                form.add_error(next((str(name) for name in error["loc"] if name in form.fields), None), error["msg"])
        except MeshError as refusal:
            form.add_error(_FIELDS.get(refusal.code), refusal.detail)
        return None

    def _form_page(self, request: HttpRequest, event: Event, form: forms.Form, **page: str) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "original": event, "form": form, **page}
        return TemplateResponse(request, "admin/events/event/form.html", context, status=422 if form.errors else 200)

    def _download_list(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        try:
            return self.download(request, name, id=object_id)
        except MeshError as refusal:
            messages.error(request, refusal.detail)
            return _redirect_to_event(object_id)


@admin.register(Category)
class CategoryAdmin(MeshModelAdmin):
    add, change, remove = "create_category", "update_category", "delete_category"
    add_fields = change_fields = ("name", "description")
    shown_fields = ("event_count", "feed", "creator", "created_at", "updated_at")
    list_display = ("name", "event_count", "feed", "creator")
    list_select_related = ("creator",)
    search_fields = ("name", "description")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        rows: QuerySet[Category] = super().get_queryset(request)
        return rows.annotate(number=how_many(Event.objects.current(), "category"))

    @display(description="Events", ordering="number")
    def event_count(self, category: Any) -> str:
        url = reverse("admin:events_event_changelist")
        return format_html(
            '<a href="{}?category__id__exact={}" class="text-link">{}</a>', url, category.pk, category.number
        )

    @display(description="Calendar")
    def feed(self, category: Category) -> str:
        link = '<a href="/events/calendar.ics?category_id={}" class="text-link">Subscribe</a>'
        return format_html(link, category.pk)


def _overlaps(first: datetime, last: datetime) -> Q:
    """Events that take place, wholly or in part, from `first` until `last`."""
    return Q(start_date__lt=last) & (Q(end_date__gt=first) | Q(start_date__gte=first))


def _when_context(event: Event) -> dict[str, Any]:
    """Context of the time column: the number of days if there are several, whether it runs or is over, and colours."""
    first, last = (timezone.localtime(time).date() for time in (event.start_date, event.end_date))
    days = (last - first).days + 1
    if event.is_over:
        note, colours = "over", "bg-base-400 text-white"
    elif event.start_date <= timezone.now():
        note, colours = "running", "bg-green-600 text-white"
    else:
        note, colours = "", "bg-primary-600 text-white"
    return {"days": days if days > 1 else None, "note": note, "colours": colours}


def _bind(form: type[forms.Form], request: HttpRequest) -> forms.Form:
    return form(request.POST if request.method == "POST" else None)


def _redirect_to_event(event_id: int | str) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:events_event_change", args=[event_id]))
