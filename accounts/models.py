"""Users, their sessions and API keys, the mails that they turned off, and their contacts."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower, Now
from uuid_utils.compat import uuid7

from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch

#: Each returns the ids of the users who share something with a user; apps with shared rows add theirs.
_peer_sources: list[Callable[[int], QuerySet[Any]]] = []


def peer_source(ids_of: Callable[[int], QuerySet[Any]]) -> Callable[[int], QuerySet[Any]]:
    """Registers a function that returns whom a user knows: `@peer_source def met(user_id): …`.

    It returns a queryset with one column of user ids. The relation must be symmetric: whoever a user knows this way
    knows that user too. The queryset cannot be a union, since it is filtered by one user: register each part by itself.
    """
    _peer_sources.append(ids_of)
    return ids_of


def lowercased(emails: Iterable[str]) -> list[str]:
    """These e-mails in lower case, by the database's rules: Python's differ for some letters."""
    sql = "SELECT lower(email) FROM unnest(%s::text[]) WITH ORDINALITY AS given (email, place) ORDER BY place"
    return [row[0] for row in fetch(sql, [list(emails)])]


class Role(models.TextChoices):
    """What a user may see and do: an ADMIN everything, an AGENT what is their own or shared with them."""

    ADMIN = "ADMIN"
    AGENT = "AGENT"


class UserQuerySet(MeshQuerySet["User"]):
    def visible_to(self, actor: Actor) -> Self:
        if actor.is_admin:
            return self
        condition = Q(pk=actor.id) | Q(invited_by_id=actor.id)
        for ids_of in _peer_sources:
            ids = ids_of(actor.id)
            # Not `pk__in`, which would read everyone whom the actor knows, even to filter for a single user.
            condition |= Q(Exists(ids.filter(**{ids.query.values_select[0]: OuterRef("pk")})))
        return self.filter(condition)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "email"))

    def with_email(self, email: str) -> Self:
        """The user with this e-mail, in upper or lower case, compared as the unique index does."""
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(email)))

    def named(self, emails: Sequence[str]) -> list["User"]:
        """The users with one of these e-mails, in upper or lower case."""
        rows = self.alias(lower_email=Lower("email")).filter(lower_email__in=lowercased(emails))
        return list(rows.only("name", "email"))


class UserManager(BaseUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]
    def get_by_natural_key(self, username: str | None) -> "User":
        user: User = self.with_email(username or "").get()
        return user

    def enrol(
        self,
        *,
        email: str,
        name: str = "",
        password: str | None = None,
        role: str = Role.AGENT,
        invited_by_id: int | None = None,
    ) -> "User":
        """Creates a user, who cannot sign in before a password is set."""
        user: User = self.model(email=email, name=name, role=role, invited_by_id=invited_by_id)
        user.set_password(password)
        user.save(force_insert=True)
        return user


class User(AbstractBaseUser, MeshModel):
    """A person who may sign in. ADMINs are Django's staff and superusers."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=100, blank=True, default="")
    role = models.CharField(max_length=5, choices=Role.choices, default=Role.AGENT)
    is_active = models.BooleanField(default=True)
    invited_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="invited")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    #: When a link to set a new password was last mailed.
    reset_mailed_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "email"
    owner_field = "invited_by"
    versioned: ClassVar[bool] = True
    audience_is_open: ClassVar[bool] = True

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="accounts_user_role_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def check_password(self, raw_password: str) -> bool:
        """As Django's, but a stronger hash only replaces the hash that was checked, never that of a new password."""

        def strengthen(raw_password: str) -> None:
            stronger = make_password(raw_password)
            if User.objects.filter(pk=self.pk, password=self.password).update(password=stronger):
                self.password = stronger

        return check_password(raw_password, self.password, strengthen)

    def may_be_mailed_a_reset(self) -> bool:
        """Whether a link to set a new password may be mailed now; if so, records it: of two at once, one may."""
        pause_is_over = Q(reset_mailed_at=None) | Q(reset_mailed_at__lte=Now() - settings.PASSWORD_RESET_PAUSE)
        return bool(User.objects.filter(pause_is_over, pk=self.pk).update(reset_mailed_at=Now()))

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN

    is_staff = is_superuser = is_admin

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_active and self.is_admin

    def has_perms(self, perm_list: list[str], obj: object = None) -> bool:
        return self.has_perm("")

    def has_module_perms(self, app_label: str) -> bool:
        return self.has_perm("")

    def audience(self) -> set[str]:
        viewers = {self.pk, self.invited_by_id} - {None}
        for ids_of in _peer_sources:
            viewers.update(ids_of(self.pk))
        return {f"user:{viewer}" for viewer in viewers}


class SessionQuerySet(MeshQuerySet["Session"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(user_id=actor.id)

    def active(self) -> Self:
        return self.filter(ended_at=None, expires_at__gt=Now())

    def end(self) -> int:
        """Ends the active sessions: their access tokens are refused from the next request on."""
        return self.filter(ended_at=None).update(ended_at=Now())


class Session(MeshModel):
    """One sign-in: its tokens work until it ends."""

    # Here and below, `db_index=False`: another index or a unique constraint begins with the foreign key.
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions", db_index=False)
    #: The `jti` of the one refresh token that may be used next.
    refresh_jti = models.CharField(max_length=64)
    user_agent = models.CharField(max_length=255, blank=True, default="")
    address = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["user", "-id"], name="accounts_session_user")]

    def audience(self) -> set[str]:
        return {f"user:{self.user_id}"}


class Approval(models.TextChoices):
    """Which commands of an API key a person must allow."""

    NEVER = "never"
    RISKY = "risky"
    ALWAYS = "always"


class ApiKeyQuerySet(MeshQuerySet["ApiKey"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(user_id=actor.id)

    def issue(self, **fields: Any) -> tuple["ApiKey", str]:
        """Creates a row, and returns it with the key itself, of which only the hash is stored."""
        prefix = f"mw_{secrets.token_hex(4)}"
        key = f"{prefix}_{secrets.token_urlsafe(32)}"
        return self.create(prefix=prefix, key_hash=ApiKey.hash_of(key), **fields), key


class ApiKey(MeshModel):
    """A secret with which a program or an agent acts for a user, within its scopes."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys", db_index=False)
    name = models.CharField(max_length=100)
    #: The beginning of the key, to recognise it by.
    prefix = models.CharField(max_length=11)
    key_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=100))
    approval = models.CharField(max_length=6, choices=Approval.choices, default=Approval.NEVER)
    expires_at = models.DateTimeField(null=True, blank=True)
    #: To the minute.
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["user", "-id"], name="accounts_apikey_user")]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="accounts_apikey_name"),
            models.CheckConstraint(condition=Q(key_hash__regex="^[0-9a-f]{64}$"), name="accounts_apikey_hash"),
            models.CheckConstraint(condition=Q(scopes__len__range=(1, 50)), name="accounts_apikey_scopes"),
            models.CheckConstraint(condition=Q(approval__in=Approval.values), name="accounts_apikey_approval"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @staticmethod
    def hash_of(key: str) -> str:
        """The SHA-256 of a key, as 64 hexadecimal digits; a random key needs no slow hash."""
        return hashlib.sha256(key.encode()).hexdigest()

    def audience(self) -> set[str]:
        return {f"user:{self.user_id}"}


class MailKind(models.TextChoices):
    """The mails that can be turned off."""

    MEETING_INVITATIONS = "meeting_invitations"
    MEETING_CHANGES = "meeting_changes"
    RESPONSES = "responses"
    MEETING_REMINDERS = "meeting_reminders"
    TASK_ASSIGNED = "task_assigned"
    TASK_DUE = "task_due"
    ORDERS = "orders"
    LOW_STOCK = "low_stock"
    EVENT_REGISTRATIONS = "event_registrations"
    EVENT_CHANGES = "event_changes"
    EVENT_REMINDERS = "event_reminders"
    CALL_REMINDERS = "call_reminders"


class UnwantedMailQuerySet(MeshQuerySet["UnwantedMail"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(email__in=User.objects.filter(pk=actor.id).values(lower_email=Lower("email")))


class UnwantedMail(MeshModel):
    """A kind of mail that was turned off for an address, which need not be a user's."""

    #: In lower case.
    email = models.EmailField(max_length=254)
    kind = models.CharField(max_length=40, choices=MailKind.choices)

    objects = UnwantedMailQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["email", "kind"], name="accounts_unwantedmail_once"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="accounts_unwantedmail_lower"),
            models.CheckConstraint(condition=Q(kind__in=MailKind.values), name="accounts_unwantedmail_kind"),
        ]

    def audience(self) -> set[str]:
        users = User.objects.annotate(lower_email=Lower("email")).filter(lower_email=self.email)
        return {f"user:{user_id}" for user_id in users.values_list("pk", flat=True)}


class ClosedAddressQuerySet(MeshQuerySet["ClosedAddress"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(email__in=User.objects.filter(pk=actor.id).values(lower_email=Lower("email")))

    def of(self, email: str) -> Self:
        return self.filter(email__in=lowercased([email]))


class ClosedAddress(MeshModel):
    """An address without an account, for which all mail was turned off.

    Setting a password with a mailed link deletes the row: it proves that its user reads the mail.
    """

    #: In lower case.
    email = models.EmailField(max_length=254, unique=True)

    objects = ClosedAddressQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "closed addresses"
        constraints = [models.CheckConstraint(condition=Q(email=Lower("email")), name="accounts_closedaddress_lower")]

    def __str__(self) -> str:
        return self.email

    def audience(self) -> set[str]:
        users = User.objects.annotate(lower_email=Lower("email")).filter(lower_email=self.email)
        return {f"user:{user_id}" for user_id in users.values_list("pk", flat=True)}


class ContactType(models.TextChoices):
    """What a contact is to its owner."""

    CLIENT = "client"
    PROSPECT = "prospect"
    PARTNER = "partner"


class ContactQuerySet(MeshQuerySet["Contact"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(owner_id=actor.id)

    def of_type(self, user_type: "ContactType | None") -> Self:
        return self if user_type is None else self.filter(user_type=user_type)

    def with_email(self, email: str) -> Self:
        """Contacts with this e-mail, in upper or lower case."""
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(email)))

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "email", "company", "phone", "notes"))


class Contact(MeshModel):
    """A person outside the company, whom its owner talks to."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    owner = models.ForeignKey(User, models.PROTECT, related_name="contacts", db_index=False)
    name = models.CharField(max_length=100)
    email = models.EmailField(max_length=254)
    company = models.CharField(max_length=100)
    user_type = models.CharField("type", max_length=8, choices=ContactType.choices, default=ContactType.CLIENT)
    phone = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001  (the API answers null)
    notes = models.CharField(max_length=500, blank=True, default="")
    #: Whether its owner allowed another contact with the same e-mail; the e-mails of all others are unique.
    is_duplicate = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "owner"
    objects = ContactQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "-id"], name="accounts_contact_owner")]
        constraints = [
            models.UniqueConstraint(
                "owner", Lower("email"), condition=Q(is_duplicate=False), name="accounts_contact_email_once"
            ),
            models.CheckConstraint(condition=~Q(name="") & ~Q(company=""), name="accounts_contact_texts"),
            models.CheckConstraint(condition=Q(user_type__in=ContactType.values), name="accounts_contact_type"),
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.company}"

    def audience(self) -> set[str]:
        return {f"user:{self.owner_id}"}


class MergedContact(models.Model):
    """The fields of a contact that was merged into another one, so that nothing is lost."""

    contact = models.ForeignKey(Contact, models.CASCADE, related_name="merged")
    uuid = models.UUIDField(unique=True)
    #: Its fields: `{name, email, company, user_type, phone, notes}`.
    fields = models.JSONField()
    created_at = models.DateTimeField()
    merged_at = models.DateTimeField(db_default=Now(), editable=False)
