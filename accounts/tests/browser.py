"""A form of a page as a browser would send it: for the tests of the admin."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from django.http import HttpResponse
from django.test import Client


class _Form(HTMLParser):
    """Collects the fields of the form with one id, with the values that the page shows."""

    def __init__(self, form_id: str) -> None:
        super().__init__(convert_charrefs=True)
        self.form_id, self.inside, self.found = form_id, False, False
        self.fields: dict[str, Any] = {}
        self.select: tuple[str, bool, list[str], list[str]] | None = None
        self.textarea: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "form" and values.get("id") == self.form_id:
            self.inside = self.found = True
        name = values.get("name")
        if not self.inside or "disabled" in values:
            return
        if tag == "input" and name:
            kind = values.get("type", "text")
            if kind in ("submit", "button", "file", "reset", "image"):
                return
            if kind in ("checkbox", "radio") and "checked" not in values:
                return
            value = values.get("value") or ("on" if kind == "checkbox" else "")
            self.fields[name] = value.replace("\r", "").replace("\n", "")  # one line: a browser drops the breaks
        elif tag == "select" and name:
            self.select = (name, "multiple" in values, [], [])
        elif tag == "option" and self.select is not None:
            value = values.get("value") or ""
            self.select[3].append(value)
            if "selected" in values:
                self.select[2].append(value)
        elif tag == "textarea" and name:
            self.textarea = (name, [])

    def handle_data(self, data: str) -> None:
        if self.textarea is not None:
            self.textarea[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "select" and self.select is not None:
            name, multiple, selected, options = self.select
            self.select = None
            if multiple:
                self.fields[name] = selected
            elif options:
                self.fields[name] = (selected or options)[0]
        elif tag == "textarea" and self.textarea is not None:
            name, parts = self.textarea
            self.textarea = None
            text = "".join(parts).replace("\r\n", "\n").removeprefix("\n")
            self.fields[name] = text.replace("\n", "\r\n")  # as browsers send it


def form_of(response: HttpResponse, form_id: str) -> dict[str, Any]:
    """The fields of a form on a page, with the values it shows."""
    parser = _Form(form_id)
    parser.feed(response.content.decode())
    assert parser.found, f"no form {form_id!r} on the page"
    return parser.fields


def submit(client: Client, path: str, form_id: str, **changes: Any) -> HttpResponse:
    """Opens a page, changes some fields of its form and sends it; None takes a field away (an unticked box)."""
    page: Any = client.get(path)
    assert page.status_code == 200, page
    fields = form_of(page, form_id) | changes
    response: Any = client.post(path, {name: value for name, value in fields.items() if value is not None})
    return response


def text_of(response: HttpResponse) -> str:
    """The words of a page."""
    page = re.sub(r"(?s)<(script|style).*?</\1>", "", response.content.decode())
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()))
