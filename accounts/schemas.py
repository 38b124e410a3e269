"""What goes in and out of accounts."""

from datetime import datetime
from typing import Annotated, Literal

from django.utils import timezone
from pydantic import AfterValidator, AliasChoices, Field

from accounts.models import Approval, Role
from mesh import Email, In, Out, Time, text
from mesh.declarations.registry import registry

Name = Annotated[str, text(1, 100)]
Password = Annotated[str, text(1, 128, strip=False), Field(examples=["correct horse battery staple"])]
Token = Annotated[str, text(1, 2000)]


class UserOut(Out):
    """A person who may sign in."""

    id: int
    email: str
    name: str
    role: Role
    is_active: bool
    created_at: Time
    updated_at: Time


class PersonOut(Out):
    """A person, as other rows name them."""

    id: int
    name: str
    email: str


class SignupIn(In):
    """Your new account."""

    email: Email
    password: Password
    name: Annotated[str, text(0, 100)] = Field(
        "", validation_alias=AliasChoices("name", "full_name"), examples=["Alice Adams"]
    )


class LoginIn(In):
    """Your e-mail and password; `email` may be sent in place of `username`."""

    username: Annotated[str, text(1, 254)] = Field(
        validation_alias=AliasChoices("username", "email"), examples=["alice@example.com"]
    )
    password: Password
    grant_type: Literal["password"] | None = Field(None, description="As OAuth 2 clients send it.")
    scope: Annotated[str, text(0, 200)] = Field("", description="As OAuth 2 clients send it; has no effect.")
    client_id: Annotated[str, text(0, 200)] | None = Field(None, description="As OAuth 2 clients send it.")
    client_secret: Annotated[str, text(0, 200)] | None = Field(None, description="As OAuth 2 clients send it.")


class TokensOut(Out):
    """An access token for the `Authorization` header, and the refresh token for the next one."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    refresh_token: str
    expires_in: int = Field(description="Seconds that the access token lives.")


class RefreshIn(In):
    """The refresh token you got last."""

    refresh_token: Token


class PasswordIn(In):
    """Your password, old and new."""

    current_password: Password
    new_password: Password


class ResetIn(In):
    """Whose password was forgotten."""

    email: Email


class NewPasswordIn(In):
    """The token of the link in the mail, and the new password."""

    token: Token
    new_password: Password


class SessionOut(Out):
    """A place where you are signed in."""

    id: int
    user_agent: str
    address: str
    created_at: Time
    last_used_at: Time
    expires_at: Time


ACCESS = ("*", "read", "write")


def _known(scope: str) -> str:
    """A scope that there is, of the whole mesh or of one of its services."""
    service, colon, access = scope.rpartition(":")
    services = registry.open_to_keys()
    if access in ACCESS and (service in services or not colon):
        return scope
    raise ValueError(
        "There is no such scope. There are `*`, `read` and `write`, and the same for one service, such as "
        f"`{services[0]}:*`, `{services[0]}:read` and `{services[0]}:write`. Services: {', '.join(services)}."
    )


def _to_come(time: datetime) -> datetime:
    if time <= timezone.now():
        raise ValueError("This time has passed already.")
    return time


def _possible(approval: Approval) -> Approval:
    if approval != Approval.NEVER:
        raise ValueError(
            "Nobody can be asked for approval yet, so such a key would do everything without it. Only `never` is taken."
        )
    return approval


KeyScope = Annotated[str, text(1, 100), AfterValidator(_known), Field(examples=["orders:read"])]


class ApiKeyIn(In):
    """A new API key."""

    name: Annotated[str, text(1, 100)] = Field(examples=["Stock robot"])
    scopes: Annotated[
        list[KeyScope], Field(min_length=1, max_length=50), AfterValidator(lambda found: list(dict.fromkeys(found)))
    ] = Field(
        description="What it may do of all that you may: `*` everything, `read` every query, `write` every command;"
        " of one service, such as `orders`: `orders:*`, `orders:read`, `orders:write`."
    )
    expires_at: Annotated[Time, AfterValidator(_to_come)] | None = Field(
        None, description="When it ends by itself; without it, never."
    )
    approval: Annotated[Approval, AfterValidator(_possible)] = Field(
        Approval.NEVER, description="Which of its commands a person must allow first; only `never` for now."
    )


class ApiKeyOut(Out):
    """A key with which a program or an agent asks in your name."""

    id: int
    name: str
    prefix: str = Field(description="How the key begins, to recognise it.")
    scopes: list[str]
    approval: Approval
    expires_at: Time | None
    last_used_at: Time | None = Field(description="To the minute.")
    created_at: Time


class NewApiKeyOut(ApiKeyOut):
    """A new API key, with the key itself."""

    key: str = Field(description="What to send as `X-API-Key`. It is shown this once.")


class ProfilePatch(In, partial=True):
    """What of yourself changes."""

    name: Name = Field(validation_alias=AliasChoices("name", "full_name"), examples=["Alice Adams"])


class UserIn(In):
    """A new user. Without a password they are invited; `role` and `password` are an ADMIN's to set."""

    email: Email
    name: Name = Field(validation_alias=AliasChoices("name", "full_name"), examples=["John Doe"])
    password: Password | None = None
    role: Role | None = None


class UserPatch(In, partial=True):
    """What of a user changes."""

    name: Name
    role: Role
    is_active: bool


class NotificationsOut(Out):
    """Which mails you get."""

    meeting_invitations: bool = Field(description="You are invited to a meeting.")
    meeting_changes: bool = Field(description="A meeting of yours is moved, changed or cancelled.")
    responses: bool = Field(description="Someone answers the invitation to a meeting that you organize.")
    meeting_reminders: bool = Field(description="A meeting of yours begins in an hour.")
    task_assigned: bool = Field(description="Someone gives you a task.")
    task_due: bool = Field(description="A task of yours is due tomorrow.")
    orders: bool = Field(description="An order of yours is received, reserved, paid, cancelled, or came to nothing.")
    low_stock: bool = Field(description="A product of yours runs low.")
    event_registrations: bool = Field(description="You have a seat at an event, wait for one, or lose it.")
    event_changes: bool = Field(description="An event that you attend, or own, is changed or cancelled.")
    event_reminders: bool = Field(description="An event that you attend begins tomorrow.")
    call_reminders: bool = Field(description="A call of yours begins in a quarter of an hour.")


class NotificationsPatch(In, partial=True):
    """Which mails are turned on or off; what is not sent stays as it is."""

    meeting_invitations: bool
    meeting_changes: bool
    responses: bool
    meeting_reminders: bool
    task_assigned: bool
    task_due: bool
    orders: bool
    low_stock: bool
    event_registrations: bool
    event_changes: bool
    event_reminders: bool
    call_reminders: bool
