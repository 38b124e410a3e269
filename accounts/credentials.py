"""Tokens, API keys, sessions and passwords: a request is authenticated by one SQL statement."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import structlog
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.links import never_again_path, unsubscribe_path
from accounts.models import ApiKey, Role, Session, User
from mesh.calling import concurrency
from mesh.calling.limits import count_login, of_address
from mesh.declarations.actors import Actor, Client
from mesh.doors.http.requests import client_of
from mesh.errors import Invalid, RateLimited, Unauthenticated
from mesh.rows.versions import VERSION_OF
from mesh.stores.postgres import fetch

log = structlog.get_logger(__name__)

_KEY = re.compile(r"mw_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
_USER = "SELECT u.id, u.role, u.email, u.name FROM accounts_user u WHERE u.is_active AND "
_ACTOR_OF_TOKEN = """
SELECT u.id, u.role, u.email, u.name{versions}
FROM accounts_session s JOIN accounts_user u ON u.id = s.user_id
WHERE s.id = %s AND u.id = %s AND u.is_active AND s.ended_at IS NULL AND s.expires_at > now()
"""
#: The statement fills in `{actor}` itself, since only it finds out whose key it is.
_OWN_VERSION = VERSION_OF.replace("%s", "replace(%s, '{actor}', u.id::text)")
_ACTOR_OF_KEY = """
SELECT u.id, u.role, u.email, u.name, k.id, k.scopes,
    k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute'{versions}
FROM accounts_apikey k JOIN accounts_user u ON u.id = k.user_id
WHERE k.key_hash = %s AND u.is_active AND (k.expires_at IS NULL OR k.expires_at > now())
"""
_TOUCH_KEY = """
UPDATE accounts_apikey SET last_used_at = now() WHERE id IN (
    SELECT id FROM accounts_apikey
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    FOR NO KEY UPDATE SKIP LOCKED
)
"""
_WANTS_MAIL = """
SELECT NOT EXISTS (SELECT FROM accounts_unwantedmail u WHERE u.email = lower(mail.email) AND u.kind = mail.kind)
    AND NOT EXISTS (SELECT FROM accounts_user u WHERE lower(u.email) = lower(mail.email) AND NOT u.is_active)
    AND (mail.kind = 'password_reset'
        OR NOT EXISTS (SELECT FROM accounts_closedaddress c WHERE c.email = lower(mail.email)))
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS mail (email, kind, place) ORDER BY place
"""
#: The user must not have changed since the password was checked. Whoever changes the password or deactivates the user
#: holds the lock until the sessions have ended; after waiting for it, this statement sees the change.
_UNCHANGED, _LOCK = "u.is_active AND u.password = %s", "FOR SHARE"
_INSERT_SESSION = """
INSERT INTO accounts_session (user_id, refresh_jti, user_agent, address, expires_at)
SELECT u.id, %s, %s, %s, %s FROM accounts_user u WHERE u.id = %s AND {unchanged} {lock}
RETURNING id
"""
#: An invited user who has not set a password yet counts as a stranger.
_IS_STRANGER = """
SELECT NOT EXISTS (
    SELECT FROM accounts_user u WHERE lower(u.email) = lower(mail.email) AND NOT starts_with(u.password, '!')
) FROM unnest(%s::text[]) WITH ORDINALITY AS mail (email, place) ORDER BY place
"""
_WRONG = "The e-mail or the password is wrong."
_SIGN_IN_AGAIN = "This token is not valid, or its session has ended. Sign in again."


class AccountsIdentity:
    """Implements `mesh.declarations.identity.Identity`, through which the mesh reads users."""

    def authenticate(
        self, authorization: str, api_key: str, cache_tags: Sequence[str]
    ) -> tuple[Actor, Mapping[str, int]]:
        if authorization and api_key:
            raise Unauthenticated("Send one credential: either `Authorization` or `X-API-Key`.")
        return _authenticate_key(api_key, cache_tags) if api_key else _authenticate_token(authorization, cache_tags)

    def actor(self, user_id: int) -> Actor:
        return _single_actor(fetch(_USER + "u.id = %s", [user_id]))

    def actor_of_job(self, user_id: int) -> Actor:
        return _single_actor(fetch("SELECT id, role, email, name FROM accounts_user WHERE id = %s", [user_id]))

    def actor_by_email(self, email: str) -> Actor:
        return _single_actor(fetch(_USER + "lower(u.email) = lower(%s)", [email]))

    def wants_mail(self, mails: Sequence[tuple[str, str]]) -> list[bool]:
        return [row[0] for row in fetch(_WANTS_MAIL, [[email for email, _ in mails], [kind for _, kind in mails]])]

    def unsubscribe_paths(self, mails: Sequence[tuple[str, str]]) -> list[str]:
        strangers = are_strangers([email for email, _ in mails])
        return [
            never_again_path(email) if stranger else unsubscribe_path(email, kind)
            for (email, kind), stranger in zip(mails, strangers, strict=True)
        ]


def are_strangers(emails: Sequence[str]) -> list[bool]:
    """For each of these e-mails, whether no user with it has set a password yet."""
    return [row[0] for row in fetch(_IS_STRANGER, [list(emails)])]


def _authenticate_token(authorization: str, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int]]:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send `Authorization: Bearer <token>`.")
    expires, user_id, session_id = _claims(token.strip())
    if expires <= timezone.now().timestamp():
        raise Unauthenticated("This token has expired. Refresh it, or sign in again.")
    names = [tag.replace("{actor}", str(user_id)) for tag in cache_tags]
    sql = _ACTOR_OF_TOKEN.format(versions=f", {VERSION_OF}" * len(names))
    rows = fetch(sql, (*names, session_id, user_id))
    if not rows:
        raise Unauthenticated(_SIGN_IN_AGAIN)
    user, role, email, name, *versions = rows[0]
    return Actor(user, role, email, name, session_id), dict(zip(names, versions, strict=True))


def _authenticate_key(api_key: str, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int]]:
    sql = _ACTOR_OF_KEY.format(versions=f", {_OWN_VERSION}" * len(cache_tags))
    rows = fetch(sql, (*cache_tags, ApiKey.hash_of(api_key))) if _KEY.fullmatch(api_key) else []
    if not rows:
        raise Unauthenticated("This API key is not valid: it may have been deleted, or have expired.")
    user, role, email, name, key_id, scopes, stale, *versions = rows[0]
    if stale:
        _record_use(key_id)
    names = [tag.replace("{actor}", str(user)) for tag in cache_tags]
    actor = Actor(user, role, email, name, key_id=key_id, scopes=tuple(scopes))
    return actor, dict(zip(names, versions, strict=True))


def _record_use(key_id: int) -> None:
    """Updates a key's `last_used_at`, at most once a minute. It waits for no lock, and an error fails no request."""
    try:
        with transaction.atomic():
            fetch(_TOUCH_KEY, [key_id])
    except (DatabaseError, InterfaceError) as error:
        log.warning("key_use_not_noted", api_key_id=key_id, error=type(error).__name__)


def _single_actor(rows: list[tuple[Any, ...]]) -> Actor:
    if not rows:
        raise Unauthenticated("There is no active user with this id or e-mail.")
    return Actor(*rows[0])


@lru_cache(maxsize=4096)
def _claims(token: str) -> tuple[int, int, int]:
    """A token's expiry as a Unix time, its user id and session id; cached, since checking a signature is slow.

    Raises Unauthenticated.
    """
    try:
        claims = AccessToken(token)  # type: ignore[arg-type]
        return int(claims["exp"]), int(claims["user_id"]), int(claims["session_id"])
    except (TokenError, KeyError, TypeError, ValueError):
        raise Unauthenticated(_SIGN_IN_AGAIN) from None


def checked_password(email: str, password: str) -> User:
    """The active user with this e-mail and password. Raises Unauthenticated, as slowly for an unknown e-mail."""
    user: User | None = User.objects.with_email(email).first()
    if user is None:
        make_password(password)
    elif user.check_password(password) and user.is_active:
        return user
    raise Unauthenticated(_WRONG)


def require_good_password(password: str, user: User, loc: str) -> None:
    """Runs Django's password validators. Raises Invalid with all errors, at the body's field `loc`."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(
            [{"loc": ["body", loc], "msg": str(message), "type": "password"} for message in error.messages]
        ) from None


def open_session(user: User, client: Client) -> dict[str, Any]:
    """Opens a session, and returns its tokens as the fields of `TokensOut`.

    Raises Unauthenticated if the password was changed, or the user deactivated, since the password was checked.
    """
    refresh = RefreshToken.for_user(user)
    columns = [str(refresh["jti"]), client.user_agent, client.address, timezone.now() + _lifetime()]
    rows = fetch(_INSERT_SESSION.format(unchanged=_UNCHANGED, lock=_LOCK), [*columns, user.pk, user.password])
    if not rows:
        raise Unauthenticated(_WRONG)
    return _tokens(refresh, rows[0][0])


class SessionOver(Unauthenticated):
    code = "accounts.session_over"


class TokenReused(SessionOver):
    """A refresh token was used twice: it may have been stolen, so the session ends for everyone who has its tokens."""

    code = "accounts.token_reused"
    keeps_changes = True


def rotate(token: str) -> dict[str, Any]:
    """Exchanges a refresh token for new tokens (the fields of `TokensOut`); of two concurrent uses, one succeeds.

    Raises SessionOver, or TokenReused if the token was used before.
    """
    try:
        refresh = RefreshToken(token)  # type: ignore[arg-type]
        session_id, user_id, jti = int(refresh["session_id"]), int(refresh["user_id"]), str(refresh["jti"])
    except (TokenError, KeyError, TypeError, ValueError):
        raise SessionOver(_SIGN_IN_AGAIN) from None
    if not fetch("SELECT 1 FROM accounts_user WHERE id = %s AND is_active FOR SHARE", [user_id]):
        raise SessionOver(_SIGN_IN_AGAIN)
    refresh.set_jti()
    refresh.set_exp()
    refresh.set_iat()
    # Conditions on the session's own columns only: Postgres checks only those again after it waited for a lock.
    current = Session.objects.active().filter(pk=session_id, user_id=user_id)
    renewed = current.filter(refresh_jti=jti).update(
        refresh_jti=str(refresh["jti"]), last_used_at=Now(), expires_at=timezone.now() + _lifetime()
    )
    if renewed:
        return _tokens(refresh, session_id)
    if current.exists():
        Session.objects.filter(pk=session_id).end()
        raise TokenReused("This refresh token was used before, so its session has ended. Sign in again.")
    raise SessionOver(_SIGN_IN_AGAIN)


def _tokens(refresh: RefreshToken, session_id: int) -> dict[str, Any]:
    refresh["session_id"] = session_id
    access = refresh.access_token
    return {
        "access_token": str(access),
        "refresh_token": str(refresh),
        "expires_in": int(access.lifetime.total_seconds()),
    }


def _lifetime() -> timedelta:
    lifetime: timedelta = RefreshToken.lifetime
    return lifetime


class AdminBackend(BaseBackend):
    """Signs ADMINs in to the admin, with the rate limits of the API."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if not username or not password:
            return None
        if request is not None:
            try:
                count_login(client_of(request).address, username)
            except RateLimited as refusal:
                raise ValidationError(refusal.detail) from None
        address = client_of(request).address if request is not None else ""
        try:
            with concurrency.expensive(of_address(address)):
                user = checked_password(username, password)
        except concurrency.Busy as refusal:
            raise ValidationError(refusal.detail) from None
        except Unauthenticated:
            return None
        return user if user.is_admin else None

    def get_user(self, user_id: int) -> User | None:
        user: User | None = User.objects.filter(pk=user_id, is_active=True, role=Role.ADMIN).first()
        return user
