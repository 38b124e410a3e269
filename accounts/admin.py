from django import forms
from django.contrib import admin

from accounts.models import Session, User
from mesh.admin import MeshModelAdmin


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    password = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Without one, they are mailed an invitation to set it.",
    )

    class Meta:
        model = User
        fields = ("email", "name", "role")


@admin.register(User)
class UserAdmin(MeshModelAdmin):
    add, change = "invite_user", "update_user"
    add_fields = ("email", "name", "role", "password")
    change_fields = ("name", "role", "is_active")
    shown_fields = ("email", "invited_by", "created_at", "updated_at")
    list_display = ("email", "name", "role", "is_active", "created_at")
    list_filter = ("role", "is_active")
    search_fields = ("email", "name")
    ordering = ("-id",)
    add_form = UserForm

    def get_form(self, request, obj=None, change=False, **kwargs):  # type: ignore[no-untyped-def]
        if obj is None:
            kwargs["form"] = self.add_form
        return super().get_form(request, obj, change, **kwargs)


@admin.register(Session)
class SessionAdmin(MeshModelAdmin):
    shown_fields = ("user", "address", "user_agent", "created_at", "last_used_at", "expires_at", "ended_at")
    list_display = ("user", "address", "user_agent", "created_at", "last_used_at", "ended_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "address")
    ordering = ("-id",)
