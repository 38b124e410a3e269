"""`demo`: a small company, so that every page and endpoint has something to show; safe to repeat."""

import json
import logging
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config import demo
from mesh import Mesh
from mesh.declarations.identity import identity
from mesh.errors import Unauthenticated
from mesh.worker.tasks import drain
from shop.models import Order, OrderStatus


class Command(BaseCommand):
    help = "Makes a small company: people, meetings, notes, contacts, calls, tasks, events, products and orders."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", help="of its people; under DEBUG there is one already")

    def handle(self, *args: Any, **options: Any) -> None:
        password = options["password"] or ("meshwork demo company" if settings.DEVELOPMENT else "")
        if not password:
            raise CommandError("Say which password its people have: --password P")
        call_command("createadmin", email=demo.ADMIN[0], name=demo.ADMIN[1], password=password, stdout=self.stdout)
        logging.getLogger("mesh.worker").setLevel(logging.WARNING)
        self.now = timezone.now().replace(minute=0, second=0, microsecond=0)
        self.people = {demo.ADMIN[0]: _mesh_of(demo.ADMIN[0])}
        self._make_people(password)
        self._make_acquainted()
        self._make_meetings()
        self._make_contacts()
        self._make_projects_and_tasks()
        self._make_notes()
        self._make_events()
        self._make_products()
        self._make_orders()
        names = ", ".join([demo.ADMIN[0], *demo.PEOPLE])
        self.stdout.write(f"\nSign in as {names}; the password is {password!r}.")

    def _make_people(self, password: str) -> None:
        here = {user["email"] for user in self._all(demo.ADMIN[0], "list_users")}
        for email, name in self._told("people", demo.PEOPLE.items()):
            if email not in here:
                fields = {"email": email, "name": name, "role": "AGENT", "password": password}
                self._call(demo.ADMIN[0], "invite_user", fields)
            self.people[email] = _mesh_of(email)
        self.ids = {user["email"]: user["id"] for user in self._all(demo.ADMIN[0], "list_users")}

    def _make_meetings(self) -> None:
        self.meetings: dict[str, int] = {}
        for who, title, day, hour, minutes, location, users, guests in self._told("meetings", demo.MEETINGS):
            fields = {
                "title": title, "scheduled_time": self._at(day, hour), "duration_minutes": minutes,
                "attendee_emails": guests, "attendee_ids": [self.ids[user] for user in users],
            }  # fmt: skip
            self.meetings[title] = self._one(
                who, "list_meetings", "title", title, "schedule_meeting", fields | _sent(location=location)
            )

    def _make_acquainted(self) -> None:
        """People know each other once they were in one meeting."""
        welcome, admin = "Welcome to the team", demo.ADMIN[0]
        ids = [self.ids[user] for user in demo.PEOPLE]
        fields = {"title": welcome, "scheduled_time": self._at(-30, 9), "attendee_ids": ids}
        self._one(admin, "list_meetings", "title", welcome, "schedule_meeting", fields)

    def _make_contacts(self) -> None:
        self.contacts: dict[str, int] = {}
        for who, name, email, company, kind, phone, notes in self._told("contacts", demo.CONTACTS):
            fields = {"name": name, "email": email, "company": company, "user_type": kind, "notes": notes}
            made = self._one(who, "list_contacts", "email", email, "create_contact", fields | _sent(phone=phone))
            self.contacts[email] = made
        for who, contact, title, day, hour, minutes, status, notes in self._told("calls", demo.CALLS):
            fields = {
                "contact_id": self.contacts[contact], "title": title, "scheduled_for": self._at(day, hour),
                "duration_minutes": minutes, "status": status, "notes": notes,
            }  # fmt: skip
            self._one(who, "list_calls", "title", title, "schedule_call", fields)

    def _make_projects_and_tasks(self) -> None:
        projects = {
            title: self._one(who, "list_projects", "title", title, "create_project", {"title": title})
            for who, titles in demo.PROJECTS.items()
            for title in titles
        }
        for who, title, project, assignee, contact, day, status in self._told("tasks", demo.TASKS):
            fields = _sent(
                project_id=project and projects[project],
                assignee_id=assignee and self.ids[assignee],
                contact_id=contact and self.contacts[contact],
                due_date=None if day is None else self._at(day, 12),
            )
            self._one(who, "list_tasks", "title", title, "create_task", {"title": title, "status": status, **fields})

    def _make_notes(self) -> None:
        for who, meeting, contact, text in self._told("notes", demo.NOTES):
            of = _sent(meeting_id=meeting and self.meetings[meeting], contact_id=contact and self.contacts[contact])
            self._one(who, "list_notes", "raw_text", text, "add_note", {"raw_text": text, **of})

    def _make_events(self) -> None:
        categories = {
            name: self._one(demo.ALICE, "list_categories", "name", name, "create_category", {"description": words})
            for name, words in demo.CATEGORIES.items()
        }
        for who, name, category, location, day, hours, capacity, guests in self._told("events", demo.EVENTS):
            fields = {
                "name": name, "category_id": categories[category], "location": location,
                "start_date": self._at(day, 10), "end_date": self._at(day, 10 + hours),
            }  # fmt: skip
            event = self._one(who, "list_events", "name", name, "create_event", fields | _sent(capacity=capacity))
            there = {person["email"] for person in self._all(who, "list_event_attendees", id=event)}
            for number in range(guests):
                guest = demo.guest(number)
                if guest["email"] not in there and name != demo.CANCELLED_EVENT:
                    self._call(who, "register_attendee", {"id": event, "waitlist": True, **guest})
            if name == demo.CANCELLED_EVENT:
                self._call(who, "cancel_event", {"id": event})

    def _make_products(self) -> None:
        self.products = {
            sku: self._one(
                who, "list_products", "sku", sku, "create_product",
                {"sku": sku, "name": name, "price_cents": price, "stock": stock, **_sent(low_stock_at=low)},
            )
            for who, sku, name, price, stock, low in self._told("products", demo.PRODUCTS)
        }  # fmt: skip

    def _make_orders(self) -> None:
        buyers = [buyer for buyer, *_ in demo.ORDERS]
        if any(self._all(buyer, "list_orders") for buyer in set(buyers)):
            self.stdout.write("orders: there are some")
            return
        for buyer, days_ago, lines, end in self._told("orders", demo.ORDERS):
            items = [{"product_id": self.products[sku], "quantity": quantity} for sku, quantity in lines.items()]
            order = self._call(buyer, "place_order", {"items": items})["id"]
            drain("reserve_stock")
            while Order.objects.filter(pk=order, status=OrderStatus.PENDING).exists():  # a worker holds it
                time.sleep(0.05)
                drain("reserve_stock")
            for step in {"confirmed": ["confirm"], "paid": ["pay"], "cancelled": ["cancel"]}.get(end, []):
                by = buyer if step == "cancel" else demo.ADMIN[0]
                self._call(by, f"{step}_order", {"id": order})
            if days_ago:  # a company has a past, which no operation makes
                Order.objects.filter(pk=order).update(created_at=self.now - timedelta(days=days_ago))
        assert not Order.objects.filter(status=OrderStatus.PENDING, buyer__email__in=buyers).exists()

    def _one(self, who: str, lists: str, field: str, value: str, makes: str, fields: dict[str, Any]) -> int:
        """The id of this person's row with this value, made where there is none."""
        for row in self._all(who, lists):
            if row[field] == value:
                return int(row["id"])
        return int(self._call(who, makes, {field: value, **fields})["id"])

    def _all(self, who: str, lists: str, **arguments: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self._call(who, lists, {**arguments, "limit": 200, **({"cursor": cursor} if cursor else {})})
            rows += page["results"]
            cursor = page["next"]
        return rows

    def _call(self, who: str, operation: str, arguments: dict[str, Any]) -> Any:
        answer = self.people[who].call_tool(operation, arguments)
        return json.loads(answer.body) if answer.body else None

    def _at(self, day: int, hour: int) -> str:
        at: datetime = self.now + timedelta(days=day)
        return (at.replace(hour=0) + timedelta(hours=hour)).isoformat()

    def _told(self, what: str, rows: Iterable[Any]) -> Iterable[Any]:
        """The rows, with a line that tells how far it is."""
        all_of_them = list(rows)
        for number, row in enumerate(all_of_them, 1):
            yield row
            if self.stdout.isatty():
                self.stdout.write(f"{what}: {number} of {len(all_of_them)}", ending="\r")
        self.stdout.write(f"{what}: {len(all_of_them)}          ")


def _mesh_of(email: str) -> Mesh:
    try:
        return Mesh(identity().actor_by_email(email), door="cli")
    except Unauthenticated:
        raise CommandError(f"{email} is there, but not active. Activate them, and try again.") from None


def _sent(**fields: Any) -> dict[str, Any]:
    """The fields that are not empty."""
    return {name: value for name, value in fields.items() if value not in (None, "")}
