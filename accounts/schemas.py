"""The input and output schemas of accounts."""

from datetime import datetime
from typing import Annotated, Literal

from django.utils import timezone
from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from accounts.models import Approval, Role
from mesh import Email, Id, In, Out, Time, text
from mesh.declarations.registry import registry

Name = Annotated[str, text(1, 100)]
Password = Annotated[str, text(1, 128, strip=False), Field(examples=["correct horse battery staple"])]
Token = Annotated[str, text(1, 2000)]
UserId = Annotated[Id, Field(description="The user's id, from list_users.")]
SessionId = Annotated[Id, Field(description="The session's id, from list_sessions.")]
ApiKeyId = Annotated[Id, Field(description="The id of the API key, from list_api_keys.")]
_IGNORED = "As OAuth 2 clients send it; has no effect."
_ROLE = "ADMINs see and manage everyone's rows, AGENTs their own and those shared with them."
_PERSON = "The person's name, as colleagues see it."
_NEW_PASSWORD = "At least 8 characters; neither common, nor all digits, nor like the e-mail or the name."


class UserOut(Out):
    """A person who can sign in."""

    id: int
    email: str
    name: str
    role: Role = Field(description=_ROLE)
    is_active: bool = Field(description="Whether they can sign in.")
    created_at: Time
    updated_at: Time


class PersonOut(Out):
    """A user, as other rows name them."""

    id: int = Field(description="The user's id.")
    name: str
    email: str


class SignupIn(In):
    """Your new account."""

    email: Email = Field(description="Your e-mail address, with which you sign in.")
    password: Password = Field(description=_NEW_PASSWORD)
    name: Annotated[str, text(0, 100)] = Field(
        "", validation_alias=AliasChoices("name", "full_name"), description=_PERSON, examples=["Alice Adams"]
    )


class LoginIn(In):
    """Your e-mail and password; `email` may be sent in place of `username`."""

    username: Annotated[str, text(1, 254)] = Field(
        validation_alias=AliasChoices("username", "email"),
        description="Your e-mail address; upper and lower case are the same.",
        examples=["alice@example.com"],
    )
    password: Password = Field(description="The password of your account.")
    grant_type: Literal["password"] | None = Field(None, description=_IGNORED)
    scope: Annotated[str, text(0, 200)] = Field("", description=_IGNORED)
    client_id: Annotated[str, text(0, 200)] | None = Field(None, description=_IGNORED)
    client_secret: Annotated[str, text(0, 200)] | None = Field(None, description=_IGNORED)


class TokensOut(Out):
    """The tokens of a session."""

    access_token: str = Field(description="Send it as `Authorization: Bearer <token>`.")
    token_type: Literal["bearer"] = "bearer"
    refresh_token: str = Field(description="Works once, to get the next tokens from refresh_token.")
    expires_in: int = Field(description="The seconds for which the access token works.")


class RefreshIn(In):
    """The refresh token to be exchanged."""

    refresh_token: Token = Field(description="The last one that log_in or refresh_token returned.")


class PasswordIn(In):
    """Your current password and the new one."""

    current_password: Password = Field(description="The one that you have now, as a proof that it is you.")
    new_password: Password = Field(description=_NEW_PASSWORD)


class ResetIn(In):
    """Whose password is to be set anew."""

    email: Email = Field(description="The address with which the person signs in.")


class NewPasswordIn(In):
    """The token of a mailed link, and the new password."""

    token: Token = Field(description="The value of `token` in the address of the mailed link.")
    new_password: Password = Field(description=_NEW_PASSWORD)


class SessionOut(Out):
    """One sign-in of yours."""

    id: int
    user_agent: str = Field(description="The browser or program that signed in, as it names itself.")
    address: str = Field(description="The IP address from which it signed in.")
    created_at: Time
    last_used_at: Time = Field(description="When its tokens were last renewed.")
    expires_at: Time = Field(description="When it ends, unless its tokens are renewed before.")


ACCESS = ("*", "read", "write")


def _require_known_scope(scope: str) -> str:
    """Raises ValueError for an unknown scope."""
    service, colon, access = scope.rpartition(":")
    services = registry.open_to_keys()
    if access in ACCESS and (service in services or not colon):
        return scope
    raise ValueError(
        "There is no such scope. There are `*`, `read` and `write`, and the same for one service, such as "
        f"`{services[0]}:*`, `{services[0]}:read` and `{services[0]}:write`. Services: {', '.join(services)}."
    )


def _require_future(time: datetime) -> datetime:
    if time <= timezone.now():
        raise ValueError("This time has passed already.")
    return time


def _require_supported(approval: Approval) -> Approval:
    if approval != Approval.NEVER:
        raise ValueError(
            "Nobody can be asked for approval yet, so such a key would do everything without it. Only `never` is taken."
        )
    return approval


KeyScope = Annotated[str, text(1, 100), AfterValidator(_require_known_scope), Field(examples=["orders:read"])]


class ApiKeyIn(In):
    """A new API key."""

    name: Annotated[str, text(1, 100)] = Field(
        description="What the key is for, to tell it from others.", examples=["Stock robot"]
    )
    scopes: Annotated[
        list[KeyScope], Field(min_length=1, max_length=50), AfterValidator(lambda names: list(dict.fromkeys(names)))
    ] = Field(
        description="What the key allows: `*` all that you may do, `read` all queries, `write` all commands; for one"
        " service, such as `orders`: `orders:*`, `orders:read`, `orders:write`."
    )
    expires_at: Annotated[Time, AfterValidator(_require_future)] | None = Field(
        None, description="When the key stops working, in UTC unless it has an offset; null: never."
    )
    approval: Annotated[Approval, AfterValidator(_require_supported)] = Field(
        Approval.NEVER, description="Which of its commands a person must allow first; only `never` is taken yet."
    )


class ApiKeyOut(Out):
    """An API key, without the key itself."""

    id: int
    name: str
    prefix: str = Field(description="How the key begins, to recognise it by.", examples=["mw_1f2e3d4c"])
    scopes: list[str]
    approval: Approval
    expires_at: Time | None = Field(description="When it stops working; null: never.")
    last_used_at: Time | None = Field(description="To the minute; null if it was never used.")
    created_at: Time


class NewApiKeyOut(ApiKeyOut):
    """A new API key, with the key itself."""

    key: str = Field(description="What to send as `X-API-Key`; shown only here.")


class ProfilePatch(In, partial=True):
    """The changes to your own profile; fields that are not sent stay as they are."""

    name: Name = Field(
        validation_alias=AliasChoices("name", "full_name"), description=_PERSON, examples=["Alice Adams"]
    )


class UserIn(In):
    """A user to be invited; `role` and `password` are an ADMIN's to set."""

    email: Email = Field(description="The address with which the person will sign in; the invitation goes there.")
    name: Name = Field(validation_alias=AliasChoices("name", "full_name"), description=_PERSON, examples=["John Doe"])
    password: Password | None = Field(
        None, description="For ADMINs only: the person's first password; then no invitation is mailed."
    )
    role: Role | None = Field(None, description="For ADMINs only: what the person may do; AGENT by default.")


class UserPatch(In, partial=True):
    """The changes to a user; fields that are not sent stay as they are."""

    name: Name = Field(description=_PERSON)
    role: Role = Field(description=_ROLE)
    is_active: bool = Field(description="False: they cannot sign in, and their sessions end.")


class _Mails(BaseModel):
    meeting_invitations: bool = Field(description="Mail when you are invited to a meeting.")
    meeting_changes: bool = Field(description="Mail when a meeting of yours is moved, changed or cancelled.")
    responses: bool = Field(description="Mail when someone responds to a meeting that you organize.")
    meeting_reminders: bool = Field(description="Mail an hour before a meeting of yours begins.")
    task_assigned: bool = Field(description="Mail when someone assigns a task to you.")
    task_due: bool = Field(description="Mail the day before a task of yours is due.")
    orders: bool = Field(description="Mail when an order of yours is received, reserved, paid, cancelled or fails.")
    low_stock: bool = Field(description="Mail when the stock of a product of yours falls to its limit.")
    event_registrations: bool = Field(description="Mail when you get a seat at an event, wait for one, or lose it.")
    event_changes: bool = Field(description="Mail when an event that you attend or own is changed or cancelled.")
    event_reminders: bool = Field(description="Mail the day before an event that you attend begins.")
    call_reminders: bool = Field(description="Mail 15 minutes before a call of yours begins.")


class NotificationsOut(_Mails, Out):
    """Which mails you receive: true where a kind is on."""


class NotificationsPatch(_Mails, In, partial=True):
    """Which mails to turn on or off; kinds that are not sent stay as they are."""
