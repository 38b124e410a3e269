"""Signing up, in and out; passwords and sessions."""

from datetime import timedelta
from typing import Annotated
from uuid import uuid4

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from accounts.credentials import checked_password, open_session, require_good_password, rotate
from accounts.links import PASSWORD_RESET, owner_of, password_url
from accounts.models import ClosedAddress, Session, User
from accounts.schemas import (
    LoginIn,
    NewPasswordIn,
    PasswordIn,
    RefreshIn,
    ResetIn,
    SessionOut,
    SignupIn,
    TokensOut,
    UserOut,
)
from mesh import Page, PageParams, Service, anyone, command, in_person, job, query, text
from mesh.errors import Forbidden, Invalid
from mesh.execution.service import absent


class SignupClosed(Forbidden):
    code = "accounts.signup_closed"


class AuthService(Service):
    """Signing up, in and out."""

    name = "auth"

    @command(
        "POST /auth/signup",
        allow=anyone,
        any_key=True,
        tool=False,
        location="/users/{id}",
        account="",
        unlimited="nobody is signed in: an address has so many a minute, where sign-up is open at all",
        expensive=True,
    )
    def sign_up(self, *, data: SignupIn) -> UserOut:
        """Make an account of your own, with the role AGENT.

        Closed on servers where only invited people may join (403).
        """
        if not settings.SIGNUP_OPEN:
            raise SignupClosed("Sign-up is closed here. Ask a colleague for an invitation.")
        require_good_password(data.password, User(email=data.email, name=data.name), "password")
        user = User.objects.enrol(email=data.email, name=data.name, password=data.password)
        self.changed(user)
        return UserOut.of(user)

    @command(
        "POST /auth/login/access-token",
        "POST /auth/login",
        allow=anyone,
        any_key=True,
        tool=False,
        secret=True,
        form=True,
        account="username",
        expensive=True,
    )
    def log_in(self, *, data: LoginIn) -> TokensOut:
        """Sign in with e-mail and password, as JSON or as a form.

        Send the access token as `Authorization: Bearer <token>`; get the next one with the refresh token.
        """
        user = checked_password(data.username, data.password)
        self.changed()
        return TokensOut(**open_session(user, self.call.client))

    @command("POST /auth/refresh", allow=anyone, any_key=True, tool=False, secret=True, account="")
    def refresh_token(self, *, data: RefreshIn) -> TokensOut:
        """Get new tokens for your refresh token.

        Each refresh token works once. One that comes twice ends its session, for its thief too.
        """
        self.changed()
        return TokensOut(**rotate(data.refresh_token))

    @command("POST /auth/logout", allow=in_person, tool=False, dry_run=False)
    def log_out(self) -> None:
        """Sign out: this session's tokens are refused from the next request on."""
        Session.objects.filter(pk=self.actor.session_id or 0, user_id=self.actor.id).end()
        self.changed()

    @query("GET /auth/sessions", allow=in_person, tool=False)
    def list_sessions(self, *, page: PageParams) -> Page[SessionOut]:
        """List where you are signed in, newest first."""
        return self.page(self.rows(Session).active(), SessionOut, page)

    @command("DELETE /auth/sessions/{id}", allow=in_person, tool=False, dry_run=False)
    def end_session(self, *, id: int) -> None:
        """Sign out one of your sessions, such as a lost phone's."""
        if not self.rows(Session).active().filter(pk=id).end():
            raise absent(Session)
        self.changed()

    @command("POST /auth/password", allow=in_person, tool=False, account="", expensive=True)
    def change_password(self, *, data: PasswordIn) -> None:
        """Change your password. All your sessions end, this one too: sign in again with the new password."""
        user = self.take(User, self.actor.id)
        if not user.check_password(data.current_password):
            raise Invalid.field(["body", "current_password"], "This is not your current password.")
        self._set_password(user, data.new_password)

    @command(
        "POST /auth/password/reset", allow=anyone, any_key=True, tool=False, account="", counter="reset", status=202
    )
    def request_password_reset(self, *, data: ResetIn) -> None:
        """Ask for a mail with a link that sets a new password.

        The answer is the same whether or not anyone has this e-mail, and whether or not a mail goes: there is one in
        some minutes at the most. The link works once, for an hour.
        """
        self.defer(self.mail_password_reset, email=data.email)
        self.changed()

    @job(queue="mail")
    def mail_password_reset(self, *, email: Annotated[str, text(1, 254)]) -> None:
        """Mail the link to the user with this e-mail; not in the request, which must not show that there is one.

        Who was mailed one a moment ago gets no other: its link still works.
        """
        user = User.objects.with_email(email).filter(is_active=True).first()
        if user is not None and user.may_be_mailed_a_reset():
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
                secret=True,
            )
        self.changed()

    @command("POST /auth/password/reset/confirm", allow=anyone, any_key=True, tool=False, account="", expensive=True)
    def confirm_password_reset(self, *, data: NewPasswordIn) -> None:
        """Set a new password with the token of a mailed link. All sessions of the account end."""
        user = owner_of(data.token, lock=True)
        self._set_password(user, data.new_password)
        ClosedAddress.objects.of(user.email).delete()

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
