"""Users, their sessions, and the mails that people do not want."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower, Now

from mesh import Actor, ScopedModel, ScopedQuerySet
from mesh.search import every_word

#: Each returns the ids of the users who share something with a user; apps that let people share things add theirs.
_acquaintances: list[Callable[[int], QuerySet[Any]]] = []


def acquaintance(ids_of: Callable[[int], QuerySet[Any]]) -> Callable[[int], QuerySet[Any]]:
    """Registers who else a user knows, as a queryset of one column, user ids: `@acquaintance def met(user_id): …`.

    All that an app registers must be symmetric: whoever is known this way knows the user too. No union, for that cannot
    be asked about one user: each of its parts is an acquaintance of its own.
    """
    _acquaintances.append(ids_of)
    return ids_of


class Role(models.TextChoices):
    ADMIN = "ADMIN"
    AGENT = "AGENT"


class UserQuerySet(ScopedQuerySet["User"]):
    def visible_to(self, actor: Actor) -> Self:
        if actor.is_admin:
            return self
        known = Q(pk=actor.id) | Q(invited_by_id=actor.id)
        for ids_of in _acquaintances:
            ids = ids_of(actor.id)
            # Not `pk__in`, which makes the set of all whom the actor knows, also where one user is asked about.
            known |= Q(Exists(ids.filter(**{ids.query.values_select[0]: OuterRef("pk")})))
        return self.filter(known)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "email"))

    def with_email(self, email: str) -> Self:
        """The user with this e-mail, in any case; as the unique index compares them."""
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(Value(email)))

    def named(self, emails: Sequence[str]) -> list["User"]:
        """The users with one of these e-mails, in any case."""
        lower = [email.lower() for email in emails]
        return list(self.alias(lower_email=Lower("email")).filter(lower_email__in=lower).only("name", "email"))


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
        """A new user; without a password nobody can sign in as them yet."""
        user: User = self.model(email=email, name=name, role=role, invited_by_id=invited_by_id)
        user.set_password(password)
        user.save(force_insert=True)
        return user


class User(AbstractBaseUser, ScopedModel):
    """A person who may sign in. ADMINs are Django's staff and superusers."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=100, blank=True, default="")
    role = models.CharField(max_length=5, choices=Role.choices, default=Role.AGENT)
    is_active = models.BooleanField(default=True)
    invited_by = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="invited")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "email"
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
        for ids_of in _acquaintances:
            viewers.update(ids_of(self.pk))
        return {f"user:{viewer}" for viewer in viewers}


class SessionQuerySet(ScopedQuerySet["Session"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(user_id=actor.id)

    def active(self) -> Self:
        return self.filter(ended_at=None, expires_at__gt=Now())

    def end(self) -> int:
        """Ends those that still run: their access tokens are refused from the next request on."""
        return self.filter(ended_at=None).update(ended_at=Now())


class Session(ScopedModel):
    """One sign-in: the tokens made from it live as long as it does."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
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


class UnwantedMailQuerySet(ScopedQuerySet["UnwantedMail"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(email__in=User.objects.filter(pk=actor.id).values(lower_email=Lower("email")))


class UnwantedMail(ScopedModel):
    """A kind of mail that an address turned off; there need be no user behind it."""

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
