"""Signing in and out; users."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from pydantic import Field

from accounts.credentials import checked_password, open_session, require_good_password, rotate
from accounts.links import INVITATION, PASSWORD_RESET, owner_of, password_url, unwanted_of
from accounts.models import MailKind, Role, Session, UnwantedMail, User
from accounts.schemas import (
    LoginIn,
    NewPasswordIn,
    NotificationsOut,
    NotificationsPatch,
    PasswordIn,
    PersonOut,
    ProfilePatch,
    RefreshIn,
    ResetIn,
    SessionOut,
    SignupIn,
    TokensOut,
    UserIn,
    UserOut,
    UserPatch,
)
from mesh import Page, PageParams, Search, Service, admins, anyone, command, job, query, text
from mesh.errors import Conflict, Forbidden, Invalid
from mesh.service import absent


class EmailTaken(Conflict):
    code = "accounts.email_taken"
    constraint = "accounts_user_email_once"
    message = "Someone with this e-mail is already here."


class SignupClosed(Forbidden):
    code = "accounts.signup_closed"


class LastAdmin(Conflict):
    code = "accounts.last_admin"


class AuthService(Service):
    """Signing up, in and out."""

    name = "auth"

    @command("POST /auth/signup", allow=anyone, tool=False, location="/users/{id}", account="")
    def sign_up(self, *, data: SignupIn) -> UserOut:
        """Make an account of your own, with the role AGENT.

        Closed on servers where only invited people may join (403).
        """
        if not settings.SIGNUP_OPEN:
            raise SignupClosed("Sign-up is closed here. Ask a colleague for an invitation.")
        require_good_password(data.password, User(email=data.email, name=data.name), "password")
        return UserOut.of(_enrolled(data.email, self, name=data.name, password=data.password))

    @command(
        "POST /auth/login/access-token",
        "POST /auth/login",
        allow=anyone,
        tool=False,
        secret=True,
        form=True,
        account="username",
    )
    def log_in(self, *, data: LoginIn) -> TokensOut:
        """Sign in with e-mail and password, as JSON or as a form.

        Send the access token as `Authorization: Bearer <token>`; get the next one with the refresh token.
        """
        user = checked_password(data.username, data.password)
        self.changed()
        return TokensOut(**open_session(user, self.call.client))

    @command("POST /auth/refresh", allow=anyone, tool=False, secret=True, account="")
    def refresh_token(self, *, data: RefreshIn) -> TokensOut:
        """Get new tokens for your refresh token.

        Each refresh token works once. One that comes twice ends its session, for its thief too.
        """
        self.changed()
        return TokensOut(**rotate(data.refresh_token))

    @command("POST /auth/logout", tool=False)
    def log_out(self) -> None:
        """Sign out: this session's tokens are refused from the next request on."""
        Session.objects.filter(pk=self.actor.session_id or 0, user_id=self.actor.id).end()
        self.changed()

    @query("GET /auth/sessions", tool=False)
    def list_sessions(self, *, page: PageParams) -> Page[SessionOut]:
        """List where you are signed in, newest first."""
        return self.page(self.rows(Session).active(), SessionOut, page)

    @command("DELETE /auth/sessions/{id}", tool=False)
    def end_session(self, *, id: int) -> None:
        """Sign out one of your sessions, such as a lost phone's."""
        if not self.rows(Session).active().filter(pk=id).end():
            raise absent(Session)
        self.changed()

    @command("POST /auth/password", tool=False, account="")
    def change_password(self, *, data: PasswordIn) -> None:
        """Change your password. All your sessions end, this one too: sign in again with the new password."""
        user = self.take(User, self.actor.id)
        if not user.check_password(data.current_password):
            raise Invalid.field(["body", "current_password"], "This is not your current password.")
        self._set_password(user, data.new_password)

    @command("POST /auth/password/reset", allow=anyone, tool=False, account="email", status=202)
    def request_password_reset(self, *, data: ResetIn) -> None:
        """Ask for a mail with a link that sets a new password.

        The answer is the same whether or not anyone has this e-mail. The link works once, for an hour.
        """
        self.defer(self.mail_password_reset, email=data.email)
        self.changed()

    @job(queue="mail")
    def mail_password_reset(self, *, email: Annotated[str, text(1, 254)]) -> None:
        """Mail the link to the user with this e-mail; not in the request, which must not show that there is one."""
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is not None:
            self.mail(
                to=user.email,
                kind=PASSWORD_RESET,
                template="password_reset",
                context={
                    "name": user.name,
                    "url": password_url(user, PASSWORD_RESET),
                    "minutes": settings.PASSWORD_RESET_MINUTES,
                },
                key=f"password_reset:{uuid4().hex}",
            )
        self.changed()

    @command("POST /auth/password/reset/confirm", allow=anyone, tool=False, account="")
    def confirm_password_reset(self, *, data: NewPasswordIn) -> None:
        """Set a new password with the token of a mailed link. All sessions of the account end."""
        self._set_password(owner_of(data.token, lock=True), data.new_password)

    def _set_password(self, user: User, password: str) -> None:
        require_good_password(password, user, "new_password")
        user.set_password(password)
        user.save(update_fields=["password"])
        user.sessions.end()
        self.changed()

    @job(queue="default", every=3600)
    def prune_sessions(self) -> None:
        """Forget sessions that ended, or could have been renewed for the last time, 30 days ago."""
        long_ago = Now() - timedelta(days=30)
        Session.objects.filter(Q(ended_at__lt=long_ago) | Q(expires_at__lt=long_ago)).delete()
        self.changed()


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

    @command("POST /users")
    def invite_user(self, *, data: UserIn) -> UserOut:
        """Add a colleague, who is mailed an invitation to set a password.

        An AGENT invites AGENTs; an ADMIN may also set the role, and a password in place of the invitation.
        """
        if not self.actor.is_admin and {"role", "password"} & data.model_fields_set:
            raise Forbidden("Only an ADMIN may set `role` or `password`. Leave them out to invite an AGENT.")
        if data.password is not None:
            require_good_password(data.password, User(email=data.email, name=data.name), "password")
        user = _enrolled(
            data.email,
            self,
            name=data.name,
            password=data.password,
            role=data.role or Role.AGENT,
            invited_by_id=self.actor.id,
        )
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
        """Show which mails you get. Invitations to join and password resets always come."""
        off = set(self.rows(UnwantedMail).values_list("kind", flat=True))
        return NotificationsOut(**{kind: kind not in off for kind in MailKind.values})

    @command("PATCH /users/me/notifications")
    def update_notifications(self, *, data: NotificationsPatch) -> NotificationsOut:
        """Turn mails that you get on or off."""
        sent = data.sent()
        self.rows(UnwantedMail).filter(kind__in=[kind for kind, wanted in sent.items() if wanted]).delete()
        self._turn_off(self.actor.email, *(kind for kind, wanted in sent.items() if not wanted))
        return self.get_notifications()

    @command(allow=anyone, tool=False)
    def unsubscribe(self, *, token: Annotated[str, text(1, 2000)]) -> None:
        """Turn a kind of mail off with the link in one, signed in or not."""
        self._turn_off(*unwanted_of(token))

    def _turn_off(self, email: str, *kinds: str) -> None:
        rows = [UnwantedMail(email=email.lower(), kind=kind) for kind in kinds]
        UnwantedMail.objects.bulk_create(rows, ignore_conflicts=True)
        self.changed(*rows)


def _enrolled(email: str, service: Service, **fields: Any) -> User:
    user = User.objects.enrol(email=email, **fields)
    service.changed(user)
    return user


def _other_admins(user: User) -> bool:
    """Whether there is another active ADMIN; they are locked, so that two cannot leave at once."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").select_for_update(no_key=True)
    return any(other.pk != user.pk for other in admins)
