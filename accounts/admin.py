from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.models import ApiKey, Contact, ContactType, Role, Session, User
from mesh.doors.admin import MeshModelAdmin
from mesh.errors import Invalid, MeshError

TYPE_COLOURS = {ContactType.CLIENT: "success", ContactType.PROSPECT: "info", ContactType.PARTNER: "primary"}


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    password = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Without one, they are mailed an invitation to set it.",
    )

    class Meta:
        model = User
        fields = ("email", "name", "role")


class _ReadOnlyInline(TabularInline):  # type: ignore[misc]
    ordering = ("-id",)
    per_page = 20
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False


class SessionInline(_ReadOnlyInline):
    model = Session
    fields = readonly_fields = ("address", "user_agent", "created_at", "last_used_at", "ended_at")


class ApiKeyInline(_ReadOnlyInline):
    model = ApiKey
    fields = readonly_fields = ("name", "prefix", "scopes", "last_used_at", "expires_at")


@admin.register(User)
class UserAdmin(MeshModelAdmin):
    add, change = "invite_user", "update_user"
    add_fields = ("email", "name", "role", "password")
    change_fields = ("name", "role", "is_active")
    shown_fields = ("email", "invited_by", "last_login", "created_at", "updated_at")
    list_display = ("email", "name", "role_badge", "is_active", "last_login", "created_at")
    list_filter = ("role", "is_active", "created_at")
    search_fields = ("email", "name")
    ordering = ("-id",)
    add_form = UserForm
    inlines = (SessionInline, ApiKeyInline)

    @display(description="Role", ordering="role", label={Role.ADMIN: "primary"})
    def role_badge(self, user: User) -> str:
        return user.role

    def get_form(self, request, obj=None, change=False, **kwargs):  # type: ignore[no-untyped-def]
        if obj is None:
            kwargs["form"] = self.add_form
        return super().get_form(request, obj, change, **kwargs)


@admin.register(Session)
class SessionAdmin(MeshModelAdmin):
    shown_fields = ("user", "address", "user_agent", "created_at", "last_used_at", "expires_at", "ended_at")
    list_display = ("user", "state", "address", "user_agent", "created_at", "last_used_at")
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "created_at", ("user", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__email", "user__name", "address", "user_agent")
    ordering = ("-id",)

    @display(description="State", label={"active": "success"})
    def state(self, session: Session) -> str:
        if session.ended_at is not None:
            return "ended"
        return "active" if session.expires_at > timezone.now() else "expired"


@admin.register(ApiKey)
class ApiKeyAdmin(MeshModelAdmin):
    remove = "delete_api_key"
    shown_fields = ("user", "name", "prefix", "scopes", "approval", "created_at", "last_used_at", "expires_at")
    list_display = ("name", "user", "prefix", "scopes", "approval", "last_used_at", "expires_at")
    list_filter = ("approval", ("user", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "name", "prefix")
    ordering = ("-id",)


class ContactForm(forms.ModelForm):  # type: ignore[type-arg]
    allow_duplicate = forms.BooleanField(
        required=False, label="Another one", help_text="Also where its owner has a contact with this e-mail already."
    )

    class Meta:
        model = Contact
        fields = ("name", "email", "company", "user_type", "phone", "notes")


@admin.register(Contact)
class ContactAdmin(MeshModelAdmin):
    add, change, remove = "create_contact", "update_contact", "delete_contact"
    form = ContactForm
    add_fields = change_fields = ("name", "email", "allow_duplicate", "company", "user_type", "phone", "notes")
    shown_fields = ("owner", "what_is_of_it", "uuid", "created_at", "updated_at")
    list_display = ("name", "company", "type_badge", "email", "phone", "owner", "created_at")
    list_filter = ("user_type", "is_duplicate", ("owner", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "email", "company", "phone", "notes", "owner__email")
    ordering = ("-id",)
    actions = ("merge",)

    @display(description="Type", ordering="user_type", label=TYPE_COLOURS)
    def type_badge(self, contact: Contact) -> str:
        return contact.user_type

    @display(description="What is of it")
    def what_is_of_it(self, contact: Contact) -> str:
        """The numbers of rows of other apps that belong to the contact, each a link to their list."""
        links: list[tuple[str, int, int, str]] = []
        for relation in contact._meta.related_objects:
            model: Any = relation.related_model
            if model in self.admin_site._registry:
                url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
                number = model._default_manager.filter(**{relation.field.name: contact}).count()
                links.append((f"{url}?{relation.field.name}__id__exact=", contact.pk, number, _label(model, number)))
        return format_html_join(", ", '<a href="{}{}" class="text-link">{} {}</a>', links)

    @admin.action(description="Merge", permissions=["change"])
    def merge(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        """Keeps the contact that was created first."""
        contacts = list(queryset.order_by("created_at", "pk")[:3])
        if len(contacts) != 2:
            messages.error(request, "Choose exactly two contacts to merge.")
            return
        contact, other = contacts
        try:
            self.call(request, "merge_contacts", {"id": contact.pk, "contact_id": other.pk})
            messages.success(request, f"{other} became part of {contact}.")
        except Invalid as refusal:
            messages.error(request, " ".join(error["msg"] for error in refusal.errors))
        except MeshError as refusal:
            messages.error(request, refusal.detail)


def _label(model: Any, number: int) -> str:
    return str(model._meta.verbose_name if number == 1 else model._meta.verbose_name_plural)
