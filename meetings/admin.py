from typing import Any

from django import forms
from django.contrib import admin
from unfold.admin import TabularInline

from accounts.models import User
from meetings.models import Attendee, Meeting
from mesh.admin import MeshModelAdmin


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
