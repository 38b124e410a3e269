from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.models import User
from meetings.models import Attendee, Call, CallStatus, Meeting
from mesh.admin import MeshModelAdmin

STATUS_COLOURS = {
    CallStatus.SCHEDULED: "info",
    CallStatus.RESCHEDULED: "warning",
    CallStatus.COMPLETED: "success",
    CallStatus.CANCELLED: "danger",
}


class MeetingForm(forms.ModelForm):  # type: ignore[type-arg]
    attendee_ids = forms.ModelMultipleChoiceField(
        User.objects.filter(is_active=True).order_by("email"), required=False, label="Attendees"
    )

    class Meta:
        model = Meeting
        fields = ("title", "description", "scheduled_time", "duration_minutes", "location")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["attendee_ids"] = list(
                self.instance.attendees.exclude(user=None).values_list("user", flat=True)
            )


class AttendeeInline(TabularInline):  # type: ignore[misc]
    model = Attendee
    fields = readonly_fields = ("user", "email", "response")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Meeting)
class MeetingAdmin(MeshModelAdmin):
    add, change, remove = "schedule_meeting", "update_meeting", "cancel_meeting"
    form = MeetingForm
    add_fields = ("title", "description", "scheduled_time", "duration_minutes", "location", "attendee_ids")
    change_fields = add_fields
    shown_fields = ("organizer", "sequence", "created_at", "updated_at")
    list_display = ("title", "scheduled_time", "duration_minutes", "location", "organizer")
    list_filter = ("scheduled_time",)
    list_select_related = ("organizer",)
    search_fields = ("title", "description", "location", "organizer__email")
    date_hierarchy = "scheduled_time"
    ordering = ("-id",)
    inlines = (AttendeeInline,)


@admin.register(Call)
class CallAdmin(MeshModelAdmin):
    add, change, remove = "schedule_call", "update_call", "delete_call"
    add_fields = change_fields = ("contact", "title", "scheduled_for", "duration_minutes", "notes", "status")
    shown_fields = ("owner", "uuid", "reminded_for", "created_at", "updated_at")
    autocomplete_fields = ("contact",)
    list_display = ("scheduled_for", "title", "contact", "status_badge", "duration_minutes", "owner")
    list_display_links = ("title",)
    list_filter = ("status", "scheduled_for", ("contact__owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("contact__owner",)
    search_fields = ("title", "notes", "contact__name", "contact__company", "contact__email", "contact__owner__email")
    date_hierarchy = "scheduled_for"
    ordering = ("-scheduled_for", "-id")
    actions = ("complete", "cancel")

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, call: Call) -> str:
        return call.status

    @display(ordering="contact__owner__email")
    def owner(self, call: Call) -> User:
        return call.contact.owner

    @admin.action(description="Completed", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        self.call_each(request, queryset, "set_call_status", "Completed", status=CallStatus.COMPLETED)

    @admin.action(description="Cancelled", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        self.call_each(request, queryset, "set_call_status", "Cancelled", status=CallStatus.CANCELLED)
