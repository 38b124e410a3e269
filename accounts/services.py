"""Users, and which mails they get; signing in is in `accounts/signing_in.py`."""

from typing import Annotated

from django.conf import settings
from django.db.models.functions import Now
from pydantic import Field

from accounts.api_keys import ApiKeyService as ApiKeyService
from accounts.contacts import ContactService as ContactService
from accounts.credentials import are_strangers, require_good_password
from accounts.links import INVITATION, password_url, unwanted_of
from accounts.models import ClosedAddress, MailKind, Role, UnwantedMail, User, lowered
from accounts.schemas import (
    NotificationsOut,
    NotificationsPatch,
    PersonOut,
    ProfilePatch,
    UserIn,
    UserOut,
    UserPatch,
)
from accounts.signing_in import AuthService as AuthService
from mesh import Page, PageParams, Search, Service, admins, anyone, command, query, text
from mesh.errors import Conflict, Forbidden


class EmailTaken(Conflict):
    code = "accounts.email_taken"
    constraint = "accounts_user_email_once"
    message = "Someone with this e-mail is already here."


class LastAdmin(Conflict):
    code = "accounts.last_admin"


class UserService(Service):
    """The people you work with."""

    name = "users"

    @query("GET /users/me")
    def get_me(self) -> UserOut:
        """Show yourself."""
        return self.one(User.objects.all(), UserOut, self.actor.id)

    @command("PATCH /users/me")
    def update_me(self, *, data: ProfilePatch) -> UserOut:
        """Change your own name."""
        return self._updated(self.take(User, self.actor.id), data)

    @query("GET /users")
    def list_users(self, *, search: Search = None, page: PageParams) -> Page[UserOut]:
        """List the people you know here, newest first.

        Yourself, those you invited, and those you share a meeting or a project with; an ADMIN sees everyone.
        """
        return self.page(self.rows(User).search(search), UserOut, page)

    @query("GET /users/{id}")
    def get_user(self, *, id: int) -> UserOut:
        """Show one person you know here."""
        return self.one(self.rows(User), UserOut, id)

    @command("POST /users", creates=User, dry_run=False)
    def invite_user(self, *, data: UserIn) -> UserOut:
        """Add a colleague, who is mailed an invitation to set a password.

        An AGENT invites AGENTs; an ADMIN may also set the role, and a password in place of the invitation.
        """
        if not self.actor.is_admin and {"role", "password"} & data.model_fields_set:
            raise Forbidden("Only an ADMIN may set `role` or `password`. Leave them out to invite an AGENT.")
        if data.password is not None:
            require_good_password(data.password, User(email=data.email, name=data.name), "password")
        user = User.objects.enrol(
            email=data.email,
            name=data.name,
            password=data.password,
            role=data.role or Role.AGENT,
            invited_by_id=self.actor.id,
        )
        self.changed(user)
        if data.password is None:
            self._mail_invitation(user)
        return UserOut.of(user)

    @command("PATCH /users/{id}", allow=admins)
    def update_user(self, *, id: int, data: UserPatch) -> UserOut:
        """Change a user's name or role, or deactivate them; it holds from their next request on."""
        user = self.take(User, id)
        loses_admin = user.is_admin and (
            data.sent().get("role", user.role) != Role.ADMIN or not data.sent().get("is_active", True)
        )
        if loses_admin and not _other_admins(user):
            raise LastAdmin("This is the last active ADMIN. Make someone else an ADMIN first.")
        return self._updated(user, data)

    @query(tool=False)
    def known_user(self, *, ref: int) -> int | None:
        """The id of this user, if you know them; else null."""
        return self.known(User, ref)

    @query(tool=False)
    def known_users(self, *, ids: Annotated[list[int], Field(max_length=200)]) -> list[int]:
        """Which of these users you know."""
        return sorted(self.visible(User, ids))

    @query(tool=False)
    def known_people(self, *, emails: Annotated[list[str], Field(max_length=200)]) -> list[PersonOut]:
        """Which people with these e-mails, in any case, you know."""
        named = User.objects.named(emails)
        known = self.visible(User, [user.pk for user in named])
        return [PersonOut.of(user) for user in named if user.pk in known]

    def _mail_invitation(self, user: User) -> None:
        self.mail(
            to=user.email,
            kind=INVITATION,
            template="invitation",
            context={
                "name": user.name,
                "inviter": self.actor.name or self.actor.email,
                "url": password_url(user, INVITATION),
                "days": settings.INVITATION_DAYS,
            },
            key=f"invitation:{user.pk}",
            secret=True,
        )

    def _updated(self, user: User, data: ProfilePatch | UserPatch) -> UserOut:
        for field, value in data.sent().items():
            setattr(user, field, value)
        user.updated_at = Now()
        user.save(update_fields=[*data.sent(), "updated_at"])
        if not user.is_active:
            user.sessions.end()
        self.changed(user)
        return self.show(user, UserOut)


class NotificationService(Service):
    """Which mails you get."""

    name = "notifications"

    @query("GET /users/me/notifications")
    def get_notifications(self) -> NotificationsOut:
        """Show which mails you get. Password resets that you ask for always come.

        Who stopped all mail before they had an account gets none until they set a password with a mailed link.
        """
        if self.rows(ClosedAddress).exists():
            return NotificationsOut(**dict.fromkeys(MailKind.values, False))
        off = set(self.rows(UnwantedMail).values_list("kind", flat=True))
        return NotificationsOut(**{kind: kind not in off for kind in MailKind.values})

    @command("PATCH /users/me/notifications")
    def update_notifications(self, *, data: NotificationsPatch) -> NotificationsOut:
        """Turn mails that you get on or off."""
        sent = data.sent()
        self.rows(UnwantedMail).filter(kind__in=[kind for kind, wanted in sent.items() if wanted]).delete()
        self._turn_off(self.actor.email, *(kind for kind, wanted in sent.items() if not wanted))
        return self.get_notifications()

    @command(allow=anyone, tool=False, counter="unsubscribe", dry_run=False)
    def unsubscribe(self, *, token: Annotated[str, text(1, 2000)]) -> None:
        """Turn a kind of mail off with the link in one, signed in or not; as a stranger, all mail."""
        email, kind = unwanted_of(token)
        if kind is not None:
            self._turn_off(email, kind)
        elif are_strangers([email])[0]:
            rows = [ClosedAddress(email=lower) for lower in lowered([email])]
            ClosedAddress.objects.bulk_create(rows, ignore_conflicts=True)
            self.changed(*rows)
        else:  # they have joined since, and can turn each kind on again
            self._turn_off(email, *MailKind.values)

    def _turn_off(self, email: str, *kinds: str) -> None:
        rows = [UnwantedMail(email=lower, kind=kind) for lower in lowered([email]) for kind in kinds]
        UnwantedMail.objects.bulk_create(rows, ignore_conflicts=True)
        self.changed(*rows)


def _other_admins(user: User) -> bool:
    """Whether there is another active ADMIN; they are locked, so that two cannot leave at once."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").select_for_update(no_key=True)
    return any(other.pk != user.pk for other in admins)
