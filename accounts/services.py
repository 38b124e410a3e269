"""Users, and which mails they get; signing in is in `accounts/signing_in.py`."""

from typing import Annotated

from django.conf import settings
from pydantic import Field

from accounts.api_keys import ApiKeyService as ApiKeyService
from accounts.contacts import ContactService as ContactService
from accounts.credentials import are_strangers, require_good_password
from accounts.links import INVITATION, password_url, unwanted_of
from accounts.models import ClosedAddress, MailKind, Role, UnwantedMail, User, lowercased
from accounts.schemas import (
    NotificationsOut,
    NotificationsPatch,
    PersonOut,
    ProfilePatch,
    UserId,
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
    """The people who can sign in here, and your own profile."""

    name = "users"

    @query("GET /users/me")
    def get_me(self) -> UserOut:
        """Get your own profile.

        Returns the user who is signed in, or whose API key is used.
        """
        return self.one(User.objects.all(), UserOut, self.actor.id)

    @command("PATCH /users/me")
    def update_me(self, *, data: ProfilePatch) -> UserOut:
        """Update your own profile.

        Changes only the fields that you send, and returns the profile. Your e-mail cannot be changed; your role is an
        ADMIN's to change, with update_user.
        """
        return self._save_changes(self.lock(User, self.actor.id), data)

    @query("GET /users")
    def list_users(self, *, search: Search = None, page: PageParams) -> Page[UserOut]:
        """List the users you know, newest first.

        You know yourself, those you invited, and those you share a meeting or a project with; an ADMIN knows everyone.
        The search looks in name and e-mail. Use it to find the ids that attendee_ids and assignee_id take.
        """
        return self.page(self.rows(User).search(search), UserOut, page)

    @query("GET /users/{id}")
    def get_user(self, *, id: UserId) -> UserOut:
        """Get one user.

        Returns a user you know: list_users says who that is. Anyone else is not found (404).
        """
        return self.one(self.rows(User), UserOut, id)

    @command("POST /users", creates=User, dry_run=False)
    def invite_user(self, *, data: UserIn) -> UserOut:
        """Invite a colleague as a new user.

        The person gets a mail with a link to set a password, and is among the users you know. AGENTs invite AGENTs.
        Only an ADMIN may set `role` or `password` (else 403); with a password, no mail is sent. An e-mail that a user
        already has is refused (409). Returns the user.
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
    def update_user(self, *, id: UserId, data: UserPatch) -> UserOut:
        """Update a user's name or role, or deactivate a user.

        For ADMINs only. It takes effect with the user's next request. Deactivating a user ends their sessions and
        stops their API keys and all mails to them. The last active ADMIN can neither be deactivated nor become an
        AGENT (409). Returns the user.
        """
        user = self.lock(User, id)
        loses_admin = user.is_admin and (
            data.sent().get("role", user.role) != Role.ADMIN or not data.sent().get("is_active", True)
        )
        if loses_admin and not _other_admins(user):
            raise LastAdmin("This is the last active ADMIN. Make someone else an ADMIN first.")
        return self._save_changes(user, data)

    @query(tool=False)
    def find_user_id(self, *, ref: int) -> int | None:
        """Get the id of this user if you know them, else null."""
        return self.find_id(User, ref)

    @query(tool=False)
    def find_user_ids(self, *, ids: Annotated[list[int], Field(max_length=200)]) -> list[int]:
        """List which of these ids are of users you know."""
        return sorted(self.find_ids(User, ids))

    @query(tool=False)
    def find_people(self, *, emails: Annotated[list[str], Field(max_length=200)]) -> list[PersonOut]:
        """List the users you know who have one of these e-mails, in any case."""
        named = User.objects.named(emails)
        visible = self.find_ids(User, [user.pk for user in named])
        return [PersonOut.of(user) for user in named if user.pk in visible]

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

    def _save_changes(self, user: User, data: ProfilePatch | UserPatch) -> UserOut:
        self.update(user, data.sent())
        if not user.is_active:
            user.sessions.end()
        return self.result_of(user, UserOut)


class NotificationService(Service):
    """The kinds of mail that you receive."""

    name = "notifications"

    @query("GET /users/me/notifications")
    def get_notifications(self) -> NotificationsOut:
        """Get which mails you receive.

        Returns every kind of mail that can be turned off, true where it is on. Invitations to join, password links and
        notices of new API keys are always sent. Whoever stopped all mail before they had an account gets none until
        they set a password with a mailed link.
        """
        if self.rows(ClosedAddress).exists():
            return NotificationsOut(**dict.fromkeys(MailKind.values, False))
        off = set(self.rows(UnwantedMail).values_list("kind", flat=True))
        return NotificationsOut(**{kind: kind not in off for kind in MailKind.values})

    @command("PATCH /users/me/notifications")
    def update_notifications(self, *, data: NotificationsPatch) -> NotificationsOut:
        """Update which mails you receive.

        Send true or false for the kinds to turn on or off; the others stay as they are. It takes effect at once, also
        for mails that are waiting to be sent. Returns all kinds.
        """
        sent = data.sent()
        self.rows(UnwantedMail).filter(kind__in=[kind for kind, wanted in sent.items() if wanted]).delete()
        self._turn_off(self.actor.email, *(kind for kind, wanted in sent.items() if not wanted))
        return self.get_notifications()

    @command(allow=anyone, tool=False, account="", counter="unsubscribe")
    def unsubscribe(self, *, token: Annotated[str, text(1, 2000)]) -> None:
        """Turn off a kind of mail for an address, with the token of a mailed link.

        Nobody needs to sign in for it, and the address need not be a user's: for an address without an account, it
        turns off all mail.
        """
        email, kind = unwanted_of(token)
        if kind is not None:
            self._turn_off(email, kind)
        elif are_strangers([email])[0]:
            rows = [ClosedAddress(email=lower) for lower in lowercased([email])]
            ClosedAddress.objects.bulk_create(rows, ignore_conflicts=True)
            self.changed(*rows)
        else:  # the address has an account by now, where each kind can be turned on again
            self._turn_off(email, *MailKind.values)

    def _turn_off(self, email: str, *kinds: str) -> None:
        rows = [UnwantedMail(email=lower, kind=kind) for lower in lowercased([email]) for kind in kinds]
        UnwantedMail.objects.bulk_create(rows, ignore_conflicts=True)
        self.changed(*rows)


def _other_admins(user: User) -> bool:
    """Whether there is another active ADMIN. Locks all of them, so that two cannot step down at once."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").select_for_update(no_key=True)
    return any(other.pk != user.pk for other in admins)
