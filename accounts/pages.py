"""The pages behind the links in mails. What they change, they change through the mesh."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.links import owner_of, unwanted_of
from accounts.schemas import NotificationsOut
from mesh import ANONYMOUS, Mesh
from mesh.binding import bind_flat
from mesh.errors import Invalid, MeshError
from mesh.http import client_of, request_id_of
from mesh.limits import count_login
from mesh.service import registry

_METHODS = ["GET", "HEAD", "POST"]
_JOIN, _RESET = "Choose a password", "Set a new password"


@csrf_exempt  # who has the token may do this, and nobody else can make a browser send it
@require_http_methods(_METHODS)
def password(request: HttpRequest) -> HttpResponse:
    """`/reset` and `/join`: sets the password that the link's token stands for; `/reset` alone mails such a link."""
    token = request.POST.get("token") or request.GET.get("token", "")
    title = _JOIN if request.path == "/join" else _RESET
    if "email" in request.POST:
        return _link_asked_for(request)
    if not token:
        return _page(request, "ask_reset", _RESET)
    try:
        email = owner_of(token).email
    except Invalid as refusal:
        return _page(request, "ask_reset", "This link does not work any more", refusal)
    if request.method == "POST":
        try:
            new = request.POST.get("new_password", "")
            _call(request, "confirm_password_reset", {"token": token, "new_password": new})
        except MeshError as refusal:
            return _page(request, "set_password", title, refusal, token=token, email=email)
        return _page(request, "page", "Your password is set", text="You can sign in with it now.")
    return _page(request, "set_password", title, token=token, email=email)


def _link_asked_for(request: HttpRequest) -> HttpResponse:
    email = request.POST["email"]
    try:
        _call(request, "request_password_reset", {"email": email}, account=email)
    except MeshError as refusal:
        return _page(request, "ask_reset", _RESET, refusal)
    return _page(request, "page", "Look into your mail", text=f"If {email} has an account here, a link is on its way.")


@csrf_exempt  # mail programs post here by themselves (RFC 8058)
@require_http_methods(_METHODS)
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """`/unsubscribe`: turns the kind of mail off that the link's token names; looking at the page does nothing."""
    token = request.POST.get("token") or request.GET.get("token", "")
    try:
        email, kind = unwanted_of(token)
        what = NotificationsOut.model_fields[kind].description
        if request.method == "POST":
            _call(request, "unsubscribe", {"token": token})
            return _page(request, "page", "Done", text=f"{email} gets no more mails of this kind.")
    except MeshError as refusal:
        return _page(request, "page", "That did not work", refusal)
    return _page(request, "unsubscribe", "Stop these mails?", token=token, email=email, what=what)


def _call(request: HttpRequest, name: str, arguments: dict[str, Any], account: str = "") -> None:
    """Runs a command as nobody in particular, under the limits of signing in. Raises MeshError."""
    client = client_of(request)
    count_login(client.address, account)
    operation = registry.operations[name]
    mesh = Mesh(ANONYMOUS, door="rest", request_id=request_id_of(request), client=client)
    mesh.call(operation, *bind_flat(operation, arguments))


def _page(
    request: HttpRequest, template: str, title: str, refusal: MeshError | None = None, **context: Any
) -> HttpResponse:
    faults = [] if refusal is None else [refusal.detail]
    if isinstance(refusal, Invalid):
        faults = [error["msg"] for error in refusal.errors]
    response = render(
        request,
        f"accounts/{template}.html",
        {"title": title, "faults": faults, **context},
        status=200 if refusal is None else refusal.status,
    )
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"  # the address holds the token
    if refusal is not None and refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response
