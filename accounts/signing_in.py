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
    SessionId,
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
    """Signing up, signing in and out, passwords and sessions."""

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
        """Create an account for yourself.

        Returns the new user, with the role AGENT; then sign in with log_in. Where sign-up is closed (403), a colleague
        has to invite you. An e-mail that a user already has is refused (409).
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
        """Sign in with e-mail and password.

        Takes JSON or a form. Opens a session, and returns its access token, to be sent as `Authorization: Bearer
        <token>`, and its refresh token, with which refresh_token gets the next ones. A wrong password and an unknown
        e-mail are refused alike (401).
        """
        user = checked_password(data.username, data.password)
        self.changed()
        return TokensOut(**open_session(user, self.invocation.client))

    @command("POST /auth/refresh", allow=anyone, any_key=True, tool=False, secret=True, account="")
    def refresh_token(self, *, data: RefreshIn) -> TokensOut:
        """Renew your tokens with a refresh token.

        Returns a new access token and a new refresh token. A refresh token works once: if it is used again, its
        session ends for everyone who has tokens of it.
        """
        self.changed()
        return TokensOut(**rotate(data.refresh_token))

    @command("POST /auth/logout", allow=in_person, tool=False, dry_run=False)
    def log_out(self) -> None:
        """Sign out of this session.

        Takes no body. The tokens of this session are refused from the next request on; your other sessions and your
        API keys stay.
        """
        Session.objects.filter(pk=self.actor.session_id or 0, user_id=self.actor.id).end()
        self.changed()

    @query("GET /auth/sessions", allow=in_person, tool=False)
    def list_sessions(self, *, page: PageParams) -> Page[SessionOut]:
        """List your active sessions, newest first.

        A session is one sign-in of yours, with its browser or program and its address. Those that ended or expired are
        left out.
        """
        return self.page(self.rows(Session).active(), SessionOut, page)

    @command("DELETE /auth/sessions/{id}", allow=in_person, tool=False, dry_run=False)
    def end_session(self, *, id: SessionId) -> None:
        """End one of your sessions, such as that of a lost phone.

        Its tokens are refused from the next request on. A session that has ended already is not found (404).
        """
        if not self.rows(Session).active().filter(pk=id).end():
            raise absent(Session)
        self.changed()

    @command("POST /auth/password", allow=in_person, tool=False, account="", expensive=True)
    def change_password(self, *, data: PasswordIn) -> None:
        """Update your password.

        A wrong current password is refused (422). All your sessions end, this one too: sign in again with the new
        password. Your API keys stay.
        """
        user = self.lock(User, self.actor.id)
        if not user.check_password(data.current_password):
            raise Invalid.field(["body", "current_password"], "This is not your current password.")
        self._set_password(user, data.new_password)

    @command(
        "POST /auth/password/reset", allow=anyone, any_key=True, tool=False, account="", counter="reset", status=202
    )
    def request_password_reset(self, *, data: ResetIn) -> None:
        """Request a mail with a link to set a new password.

        The mail is sent in the background, if an active user has this e-mail and got none in the last minutes. The
        answer is always 202, so that it does not tell whether there is one. The link works once, for an hour unless
        the server is set up otherwise.
        """
        self.defer(self.mail_password_reset, email=data.email)
        self.changed()

    @job(queue="mail")
    def mail_password_reset(self, *, email: Annotated[str, text(1, 254)]) -> None:
        """Send the link to set a new password to the active user with this e-mail.

        This is a job, since the time that a request takes must not tell whether there is such a user. Whoever was
        mailed a link a moment ago gets no other: that one still works.
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
        """Set a password with the token of a mailed link.

        Takes the token of a password link or of an invitation; each works once. All sessions of the account end: sign
        in with the new password.
        """
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
        """Delete sessions that ended or expired 30 days ago."""
        long_ago = Now() - timedelta(days=30)
        Session.objects.filter(Q(ended_at__lt=long_ago) | Q(expires_at__lt=long_ago)).delete()
        self.changed()
