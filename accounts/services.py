"""Signing in and out; users."""

from typing import Annotated, Any

from django.conf import settings
from django.db.models.functions import Now
from pydantic import Field

from accounts.credentials import checked_password, open_session, require_good_password, rotate
from accounts.models import Role, Session, User
from accounts.schemas import (
    LoginIn,
    PasswordIn,
    PersonOut,
    ProfilePatch,
    RefreshIn,
    SessionOut,
    SignupIn,
    TokensOut,
    UserIn,
    UserOut,
    UserPatch,
)
from mesh import Page, PageParams, Search, Service, admins, anyone, command, query
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
        require_good_password(data.new_password, user, "new_password")
        user.set_password(data.new_password)
        user.save(update_fields=["password"])
        user.sessions.end()
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
        """Add a colleague. An AGENT invites AGENTs; an ADMIN may also set the role and a password."""
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

    def _updated(self, user: User, data: ProfilePatch | UserPatch) -> UserOut:
        for field, value in data.sent().items():
            setattr(user, field, value)
        user.updated_at = Now()
        user.save(update_fields=[*data.sent(), "updated_at"])
        if not user.is_active:
            user.sessions.end()
        self.changed(user)
        return self.show(user, UserOut)


def _enrolled(email: str, service: Service, **fields: Any) -> User:
    user = User.objects.enrol(email=email, **fields)
    service.changed(user)
    return user


def _other_admins(user: User) -> bool:
    """Whether there is another active ADMIN; they are locked, so that two cannot leave at once."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").select_for_update(no_key=True)
    return any(other.pk != user.pk for other in admins)
