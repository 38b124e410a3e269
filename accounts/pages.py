"""The pages behind the links in mails. They make all changes through the mesh.

A link's token is removed from the address at once, since browsers show, store and share addresses: the first response
redirects to the page without it, and sets it as a cookie for that page alone. A GET changes nothing.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.links import owner_of, unwanted_of
from accounts.schemas import NotificationsOut
from mesh.declarations.arguments import bind_flat
from mesh.declarations.registry import registry
from mesh.doors.admission import Admission, as_nobody
from mesh.errors import Invalid, MeshError

_JOIN, _RESET = "Choose a password", "Set a new password"
_COOKIE, _COOKIE_SECONDS = "meshwork_link", 900
_TOKEN = re.compile(r"[\w:.=-]{1,2000}", re.ASCII)
#: Runs a command by its name, as an anonymous actor. Raises MeshError.
_Call = Callable[[str, dict[str, Any]], object]
_View = Callable[[HttpRequest, str, _Call], HttpResponse]


def _page_of_link(view: _View) -> Callable[[HttpRequest], HttpResponse]:
    """Calls the view with the token: posted by a form or a mail program, or read from the cookie."""

    @require_http_methods(["GET", "HEAD", "POST"])
    def respond(request: HttpRequest, call: _Call) -> HttpResponse:
        if request.method == "POST":
            return view(request, request.POST.get("token") or request.GET.get("token", ""), call)
        if "token" in request.GET:
            return _redirect_without_token(request)
        return view(request, request.COOKIES.get(_COOKIE, ""), call)

    # No CSRF check: the token authorizes the request, and a POST must carry it itself (the cookie is not read), so
    # nobody without it can forge one. Mail programs post by themselves (RFC 8058).
    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        admission = Admission(request, as_nobody, changes=request.method == "POST")

        def admitted() -> HttpResponse:
            mesh = admission.enter()
            admission.count()

            def call(name: str, arguments: dict[str, Any]) -> object:
                operation = registry.operations[name]
                return admission.call(mesh, operation, lambda: bind_flat(operation, arguments))

            return respond(request, call)

        response = admission.respond(admitted, lambda refusal: _page(request, "page", "That did not work", refusal))
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["Content-Security-Policy"] = _content_security_policy()
        return response

    return answer


def _redirect_without_token(request: HttpRequest) -> HttpResponse:
    """Redirects to the same page, with the token in a cookie; a malformed token is stored as "-", and refused there."""
    token = request.GET["token"]
    response = HttpResponseRedirect(request.path)
    response.set_cookie(
        _COOKIE,
        token if _TOKEN.fullmatch(token) else "-",
        max_age=_COOKIE_SECONDS,
        path=_path(request),
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",  # a link in a mail is followed from another site
    )
    return response


def _delete_cookie(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Returns the response, which deletes the cookie of the link."""
    if _COOKIE in request.COOKIES:
        response.delete_cookie(_COOKIE, path=_path(request), samesite="Lax")
    return response


def _path(request: HttpRequest) -> str:
    return request.path.rstrip("/")


@_page_of_link
def password(request: HttpRequest, token: str, call: _Call) -> HttpResponse:
    """`/reset` and `/join`: sets the password of the token's user. `/reset` without a token mails such a link."""
    title = _JOIN if _path(request) == "/join" else _RESET
    if "email" in request.POST:
        return _request_link(request, call)
    if not token:
        return _page(request, "ask_reset", _RESET)
    try:
        email = owner_of(token).email
    except Invalid as refusal:
        return _delete_cookie(request, _page(request, "ask_reset", "This link does not work any more", refusal))
    if request.method == "POST":
        try:
            new = request.POST.get("new_password", "")
            call("confirm_password_reset", {"token": token, "new_password": new})
        except MeshError as refusal:
            return _page(request, "set_password", title, refusal, token=token, email=email)
        return _delete_cookie(
            request, _page(request, "page", "Your password is set", text="You can sign in with it now.")
        )
    return _page(request, "set_password", title, token=token, email=email)


def _request_link(request: HttpRequest, call: _Call) -> HttpResponse:
    email = request.POST["email"]
    try:
        call("request_password_reset", {"email": email})
    except MeshError as refusal:
        return _page(request, "ask_reset", _RESET, refusal)
    return _page(request, "page", "Look into your mail", text=f"If {email} has an account here, a link is on its way.")


@_page_of_link
def unsubscribe(request: HttpRequest, token: str, call: _Call) -> HttpResponse:
    """`/unsubscribe`: turns off the kind of mail that the token names, or all mail to a stranger's address."""
    try:
        email, kind = unwanted_of(token)
        what = "" if kind is None else NotificationsOut.model_fields[kind].description
        if request.method == "POST":
            call("unsubscribe", {"token": token})
            text = f"{email} gets no more mails of this kind." if what else f"{email} gets no more mail from here."
            return _delete_cookie(request, _page(request, "page", "Done", text=text))
    except MeshError as refusal:
        return _delete_cookie(request, _page(request, "page", "That did not work", refusal))
    return _page(request, "unsubscribe", "Stop these mails?", token=token, email=email, what=what)


@cache
def _style() -> SafeString:
    return render_to_string("accounts/page.css")


@cache
def _content_security_policy() -> str:
    """Allows no scripts, frames or other resources; only the inline stylesheet, by its hash."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def _page(
    request: HttpRequest, template: str, title: str, refusal: MeshError | None = None, **context: Any
) -> HttpResponse:
    errors = [] if refusal is None else [refusal.detail]
    if isinstance(refusal, Invalid):
        errors = [error["msg"] for error in refusal.errors]
    response = render(
        request,
        f"accounts/{template}.html",
        {"title": title, "errors": errors, "style": _style(), **context},
        status=200 if refusal is None else refusal.status,
    )
    if refusal is not None and refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response
