"""The signed links in mails: one kind sets a password, once; the other turns a kind of mail off."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import MailKind, User
from mesh.errors import Invalid

#: Mails that cannot be turned off: those with a link that sets a password, and the notice of a new API key.
INVITATION, PASSWORD_RESET, API_KEY = "invitation", "password_reset", "api_key"

_LIFETIMES: dict[str, Callable[[], timedelta]] = {
    INVITATION: lambda: timedelta(days=settings.INVITATION_DAYS),
    PASSWORD_RESET: lambda: timedelta(minutes=settings.PASSWORD_RESET_MINUTES),
}
_PAGES = {INVITATION: "join", PASSWORD_RESET: "reset"}
_UNSUBSCRIBE, _ALL = "accounts.unsubscribe", "*"


def password_url(user: User, kind: str) -> str:
    """The address where the user sets a password; it works until the password changes, or the link expires."""
    token = signing.dumps([user.pk, _state(user)], salt=f"accounts.{kind}")
    return f"{settings.SITE_URL}/{_PAGES[kind]}?{urlencode({'token': token})}"


def owner_of(token: str, *, lock: bool = False) -> User:
    """The active user whose password this token sets, locked if `lock`. Raises Invalid for a used or expired token."""
    for kind, lifetime in _LIFETIMES.items():
        try:
            user_id, state = signing.loads(token, salt=f"accounts.{kind}", max_age=lifetime())
        except signing.BadSignature:
            continue
        users: Any = User.objects.select_for_update(no_key=True) if lock else User.objects
        user: User | None = users.filter(pk=user_id, is_active=True).first()
        if user is not None and constant_time_compare(state, _state(user)):
            return user
    raise Invalid.field(["body", "token"], "This link was used, or its time is over. Ask for a new one.", "token")


def _state(user: User) -> str:
    """A fingerprint of the current password hash: a new password invalidates all links."""
    return salted_hmac("accounts.password", f"{user.pk} {user.password}", algorithm="sha256").hexdigest()[:32]


def unsubscribe_path(email: str, kind: str) -> str:
    """The page that turns a kind of mail off for an address; empty for mails that cannot be turned off."""
    if kind in _LIFETIMES or kind == API_KEY:
        return ""
    token = signing.dumps([email, MailKind(kind).value], salt=_UNSUBSCRIBE)
    return f"/unsubscribe?{urlencode({'token': token})}"


def never_again_path(email: str) -> str:
    """The page that stops all mail to an address without an account."""
    return f"/unsubscribe?{urlencode({'token': signing.dumps([email, _ALL], salt=_UNSUBSCRIBE)})}"


def unwanted_of(token: str) -> tuple[str, MailKind | None]:
    """The address and the kind of mail to turn off; the kind is None for all mail. Raises Invalid."""
    try:
        email, kind = signing.loads(token, salt=_UNSUBSCRIBE)
        return email, None if kind == _ALL else MailKind(kind)
    except (signing.BadSignature, ValueError):
        raise Invalid.field(
            ["body", "token"], "This link is not whole. Copy all of it from the mail.", "token"
        ) from None
