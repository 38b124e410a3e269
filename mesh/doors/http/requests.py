"""Reading an HTTP request, with limits on everything that a client sends."""

import os
import re
from functools import lru_cache
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from django.conf import settings
from django.core.management import get_commands
from django.http import HttpRequest

from mesh.calling import concurrency
from mesh.calling.limits import of_address
from mesh.declarations.actors import Client
from mesh.declarations.arguments import Texts
from mesh.declarations.operations import Operation
from mesh.errors import Invalid, Malformed, TooLarge, UnsupportedMediaType

MAX_BODY = 1024 * 1024
MAX_FORM = 8 * MAX_BODY  # for the admin, which takes sheets as file uploads
MAX_DEPTH = 32
MAX_FIELDS = 100
UNKNOWN_HOST = "This host name is not served here. Whoever runs this server can add it to ALLOWED_HOSTS."

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def request_id_of(request: HttpRequest) -> str:
    """The caller's `X-Request-ID` if it is valid, else a new one."""
    sent = request.META.get("HTTP_X_REQUEST_ID", "")
    return sent if _REQUEST_ID.fullmatch(sent) else os.urandom(16).hex()


def host_of(request: HttpRequest) -> str:
    """The host name of the request. Raises DisallowedHost."""
    return _host(request.META.get("HTTP_HOST") or request.get_host(), tuple(settings.ALLOWED_HOSTS))


@lru_cache(maxsize=256)
def _host(name: str, allowed: tuple[str, ...]) -> str:
    """The same name, if it is allowed. Cached, since Django's check is slow."""
    request = HttpRequest()
    request.META["HTTP_HOST"] = name
    return request.get_host()


def client_of(request: HttpRequest) -> Client:
    """The client's address and user agent; `X-Forwarded-For` is believed only as far as trusted proxies wrote it."""
    meta = request.META
    address = meta.get("REMOTE_ADDR") or "local"
    if settings.TRUSTED_PROXIES and "HTTP_X_FORWARDED_FOR" in meta:
        for hop in reversed(meta["HTTP_X_FORWARDED_FOR"].split(",")):
            if not is_trusted(address):
                break
            address = hop.strip()
    return Client(address[:64], meta.get("HTTP_USER_AGENT", "")[:255])


def is_trusted(address: str) -> bool:
    """Whether this is the address of a trusted proxy, whose forwarding headers are believed."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in settings.TRUSTED_PROXIES)


def is_local(request: HttpRequest) -> bool:
    """Whether the request came from this machine, under a host name that always means this machine.

    The name matters because of DNS rebinding: a foreign site may point its own name at this machine.
    """
    host = urlsplit(f"//{host_of(request)}").hostname or ""
    named = host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
    return named and _is_loopback(client_of(request).address)


def _is_loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed  # an IPv4 client of an IPv6 socket


def query_of(request: HttpRequest) -> dict[str, str]:
    """The query string as `{name: text}`. Raises Malformed, or Invalid if a name is sent twice."""
    raw = request.META.get("QUERY_STRING", "")
    return {**_fields_of(raw)} if raw else {}


@lru_cache(maxsize=4096)
def _fields_of(raw: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Malformed("The query string is not valid UTF-8, or has too many fields.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Invalid.field(["query", repeated], "Sent more than once.")
    return fields


def body_of(request: HttpRequest, operation: Operation) -> Any:
    """The JSON value of the body, or `Texts` from a form or a raw text, if the operation takes one.

    `{}` if nothing was sent. Raises TooLarge, Malformed, UnsupportedMediaType and Busy.
    """
    takes = operation.declaration.takes
    file = bool(takes) and operation.name in get_commands()  # a command that takes a file of any size
    raw = raw_body_of(request, f" For more: ./run manage {operation.name} FILE --as EMAIL." if file else "")
    if not raw:
        return {}
    content_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if takes and content_type == takes:
        try:
            return Texts.fromkeys(operation.argument_names, raw.decode())
        except UnicodeDecodeError:
            raise Malformed("The body is not valid UTF-8.") from None
    if operation.declaration.form and content_type == "application/x-www-form-urlencoded":
        try:
            return Texts(parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
        except ValueError:
            raise Malformed("The form is not valid UTF-8, or has too many fields.") from None
    if content_type and content_type != "application/json" and not content_type.endswith("+json"):
        raise UnsupportedMediaType(f"Send `Content-Type: application/json`{f' or `{takes}`' if takes else ''}.")
    return parse_json(raw)


def raw_body_of(request: HttpRequest, hint: str = "", most: int = MAX_BODY) -> bytes:
    """The whole body, `most` bytes at most. Raises TooLarge (its message ends with `hint`), Malformed and Busy."""
    too_large = TooLarge(f"A body may have {most} bytes at most.{hint}")
    try:
        length = max(0, int(request.META.get("CONTENT_LENGTH") or 0))
    except ValueError:
        raise Malformed("Content-Length is not a number.") from None
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    if length > most:
        raise too_large
    try:
        raw = b""
        if chunked or length:
            with concurrency.body(of_address(client_of(request).address)):
                raw = request.META["wsgi.input"].read(most + 1 if chunked else length)
    except OSError:
        raise Malformed("The body did not arrive, or not in time.") from None
    if len(raw) > most:
        raise too_large
    if len(raw) < length and not chunked:
        raise Malformed("The body ended before its Content-Length.")
    return raw


def take_form(request: HttpRequest) -> None:
    """Reads a form into memory before Django does, which has no limit on the threads that wait for bodies.

    Raises TooLarge, Malformed and Busy.
    """
    if request.content_type in _FORMS:
        request.META["wsgi.input"] = request._stream = BytesIO(raw_body_of(request, most=MAX_FORM))


def parse_json(raw: bytes) -> Any:
    """A JSON value of bounded depth. Raises Malformed."""
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except msgspec.ValidationError:
        raise Malformed("The JSON holds a number that is out of range.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("The body is not valid JSON in UTF-8.") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        depth += bool(containers)
    return depth


def prefers_dry_run(request: HttpRequest) -> bool:
    prefer = request.META.get("HTTP_PREFER", "")
    return bool(prefer) and any(part.strip().lower() == "dry-run" for part in re.split("[,;]", prefer))
