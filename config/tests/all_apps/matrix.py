"""Alice's rows, and for each operation how charlie might try to reach them: what the tests of tenancy go through."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import uuid4

from django.utils import timezone

from accounts.models import ApiKey, Contact, Session
from conftest import PASSWORD, make_person
from events.models import Category, Event, Registration
from meetings.models import Call, Invitee, Meeting
from mesh.declarations.registry import registry
from mesh.testing import Api
from mesh.tests.database import sql
from mesh.tests.example.services import ThingService
from notes.models import ActionItem, Note
from shop.models import Order, Payment, Product
from tasks.models import Project, Task

SECRET = "zqx-only-alices"
MISSING = 990_000_000_000


@dataclass(frozen=True)
class World:
    """Alice's rows, with ids that nothing else has, and people around her."""

    people: dict[str, Any]
    ids: dict[str, Any]
    #: Those of her rows that everyone sees.
    public: dict[str, Any]

    @property
    def missing(self) -> dict[str, Any]:
        return {name: str(uuid4()) if "uuid" in name else MISSING for name in self.ids}

    def leaks(self, text: str) -> list[str]:
        return [mark for mark in (SECRET, *map(str, self.ids.values())) if mark in text]


def _number_rows_from(table: str, first: int) -> None:
    sql("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", table, first)


def make_world() -> World:
    tables = ("accounts_user", "accounts_session", "meetings_meeting", "meetings_attendee", "tasks_project")
    shop = ("shop_product", "shop_order", "shop_payment")
    contacts = ("accounts_contact", "meetings_call", "accounts_apikey")
    events = ("events_event", "events_attendee", "events_registration")
    for place, table in enumerate((*tables, "tasks_task", "notes_note", "notes_actionitem", *shop, *events, *contacts)):
        _number_rows_from(table, 710_000_000 + 1_000_000 * place)
    alice = make_person(f"alice-{SECRET}")
    _number_rows_from("accounts_user", 610_000_000)
    _number_rows_from("accounts_session", 620_000_000)
    bob = make_person("bob", invited_by=alice.user)
    charlie = make_person("charlie")
    meeting = Meeting.objects.create(
        organizer=alice.user, title=SECRET, description=SECRET, location=SECRET, scheduled_time=timezone.now()
    )
    Invitee.objects.create(meeting=meeting, user=bob.user)
    guest = Invitee.objects.create(meeting=meeting, email=f"{SECRET}@example.com")
    project = Project.objects.create(owner=alice.user, title=SECRET, description=SECRET)
    task = Task.objects.create(
        creator=alice.user, assignee=bob.user, project=project, due_meeting=meeting, title=SECRET, description=SECRET
    )
    note = Note.objects.create(author=alice.user, meeting=meeting, raw_text=SECRET, summary=SECRET)
    item = ActionItem.objects.create(note=note, title=SECRET, quote=SECRET)
    archived = Product.objects.create(
        owner=alice.user,
        sku=SECRET,
        name=SECRET,
        description=SECRET,
        price_cents=1,
        archived_at=timezone.now(),
        reserved=1,
        received=1,
    )
    order = Order.objects.create(
        buyer=alice.user, total_cents=1, status="RESERVED", reserved_until=timezone.now() + timedelta(hours=1)
    )
    order.lines.create(product=archived, sku=SECRET, name=SECRET, quantity=1, price_cents=1)
    payment = Payment.objects.create(
        order=order,
        provider="stripe",
        reference=SECRET,
        status="pending",
        amount_cents=1,
        currency="eur",
        client_secret=SECRET,
        error=SECRET,
    )
    someone = {"owner": alice.user, "name": SECRET, "company": SECRET, "phone": SECRET, "notes": SECRET}
    contact, other = (Contact.objects.create(email=f"{n}-{SECRET}@example.com", **someone) for n in range(2))
    call = Call.objects.create(contact=contact, title=SECRET, notes=SECRET, scheduled_for=timezone.now())
    key, _ = ApiKey.objects.issue(user=alice.user, name=SECRET, scopes=["*"])
    category = Category.objects.create(creator=alice.user, name="Workshops")
    times = {"start_date": timezone.now() + timedelta(days=9), "end_date": timezone.now() + timedelta(days=10)}
    event = Event.objects.create(owner=alice.user, category=category, name="Open day", capacity=1, **times)
    secret = {"name": SECRET, "description": SECRET, "location": SECRET}
    deleted = Event.objects.create(owner=alice.user, category=category, **secret, **times)
    person = {"name": SECRET, "phone": SECRET, "registrar_id": alice.id, "status": "registered"}
    attendee = Registration.objects.add(event, email=f"first-{SECRET}@example.com", **person)
    forgotten = Registration.objects.add(deleted, email=f"second-{SECRET}@example.com", **person)
    Event.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    ids = {
        "user": alice.id,
        "session": Session.objects.get(user=alice.user).pk,
        "api_key": key.pk,
        "meeting": meeting.pk,
        "attendee": guest.pk,
        "project": project.pk,
        "task": task.pk,
        "task_uuid": str(task.uuid),
        "note": note.pk,
        "action_item": item.pk,
        "archived_product": archived.pk,
        "order": order.pk,
        "payment": payment.pk,
        "contact": contact.pk,
        "contact_uuid": str(contact.uuid),
        "other_contact": other.pk,
        "call": call.pk,
        "call_uuid": str(call.uuid),
        "event_attendee": attendee.attendee_id,
        "deleted_event": deleted.pk,
        "deleted_attendee": forgotten.attendee_id,
    }
    public = {"open_event": event.pk, "category": Category.objects.create(creator=alice.user, name="Talks").pk}
    return World({"alice": alice, "bob": bob, "charlie": charlie}, ids, public)


@dataclass(frozen=True)
class Case:
    """The arguments that address alice's rows, and what charlie gets: `own` is his own answer, without hers."""

    expect: Literal["own", "empty", 403, 404, 422]
    arguments: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda ids: {})
    fields: tuple[str, ...] = ()


def path(kind: str, **more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda ids: {"id": ids[kind], **more}


WHEN = {"scheduled_time": "2030-01-01T10:00:00Z"}
CALL = {"scheduled_for": "2030-01-01T10:00:00Z"}
PERSON = {"name": "Mine", "email": "mine@example.com", "company": "Mine"}
TASK_IDS = ("due_meeting_id", "project_id", "assignee_id")

#: Every operation, once for each of its routes.
#: All but those of the mesh's example app, which is in no installation.
OPERATIONS = {name: op for name, op in registry.operations.items() if op.service is not ThingService}
ROUTES = [(name, n) for name, op in OPERATIONS.items() for n in range(len(op.declaration.routes))]

PASSWORDS = {"current_password": PASSWORD, "new_password": "another horse another battery"}

CASES: dict[str, list[Case]] = {
    "sign_up": [Case("own", lambda ids: {"email": "new@example.com", "password": PASSWORD})],
    "log_in": [Case("own", lambda ids: {"username": "charlie@example.com", "password": PASSWORD})],
    "refresh_token": [Case("own", lambda ids: {"refresh_token": ids["refresh_token"]})],
    "log_out": [Case("own")],
    "list_sessions": [Case("own")],
    "end_session": [Case(404, path("session"))],
    "change_password": [Case("own", lambda ids: PASSWORDS)],
    "list_api_keys": [Case("empty")],
    "get_api_key": [Case(404, path("api_key"))],
    "create_api_key": [Case("own", lambda ids: {"name": "Mine", "scopes": ["*"]})],
    "delete_api_key": [Case(404, path("api_key"))],
    "get_me": [Case("own")],
    "update_me": [Case("own", lambda ids: {"name": "Charles"})],
    "list_users": [Case("empty", lambda ids: {"search": SECRET}), Case("own")],
    "get_user": [Case(404, path("user"))],
    "invite_user": [Case("own", lambda ids: {"email": "new@example.com", "name": "New"})],
    "update_user": [Case(403, path("user", name="Taken"))],
    "find_people": [Case("empty", lambda ids: {"emails": [f"alice-{SECRET}@example.com"]})],
    "find_user_id": [Case("own", lambda ids: {"ref": ids["user"]})],
    "find_user_ids": [Case("empty", lambda ids: {"ids": [ids["user"]]})],
    "request_password_reset": [Case("own", lambda ids: {"email": f"alice-{SECRET}@example.com"})],
    "mail_password_reset": [Case(403, lambda ids: {"email": f"alice-{SECRET}@example.com"})],
    "confirm_password_reset": [
        Case(422, lambda ids: {"token": "forged", "new_password": "another horse another battery"}, ("token",))
    ],
    "get_notifications": [Case("own")],
    "update_notifications": [Case("own", lambda ids: {"responses": False})],
    "unsubscribe": [Case(422, lambda ids: {"token": "forged"}, ("token",))],
    "get_cache_stats": [Case(403)],
    "list_jobs": [Case(403)],
    "retry_job": [Case(403, lambda ids: {"id": 1})],
    "retry_jobs": [Case(403)],
    "prune": [Case(403)],
    "prune_sessions": [Case(403)],
    "prune_mails": [Case(403)],
    "store_documents": [Case(403)],
    "send_mail": [Case(403, lambda ids: {"id": 1})],
    "mail_invitations": [Case(403, path("meeting"))],
    "remind_of_meetings": [Case(403)],
    "mail_due_tasks": [Case(403)],
    "summarize_note": [Case(403, lambda ids: {"id": ids["note"], "revision": 1})],
    "summarize_again": [Case(404, path("note"))],
    "accept_action_items": [
        Case(404, path("note")), Case(404, lambda ids: {"id": ids["note"], "action_item_ids": [ids["action_item"]]}),
    ],
    "export_meeting": [Case(404, path("meeting"))],
    "make_calendar_key": [Case("own")],
    "read_calendar": [Case(404, lambda ids: {"key": "unknown"})],
    "list_meetings": [Case("empty"), Case("empty", lambda ids: {"search": SECRET})],
    "get_meeting": [Case(404, path("meeting"))],
    "schedule_meeting": [
        Case("own", lambda ids: {"title": "Mine", **WHEN}),
        Case(422, lambda ids: {"title": "Mine", **WHEN, "attendee_ids": [ids["user"]]}, ("attendee_ids.0",)),
    ],
    "update_meeting": [Case(404, path("meeting", title="Taken"))],
    "cancel_meeting": [Case(404, path("meeting"))],
    "respond_to_meeting": [Case(404, path("meeting", response="accepted"))],
    "find_meeting_id": [Case("own", lambda ids: {"ref": ids["meeting"]})],
    "list_contacts": [Case("own"), Case("empty", lambda ids: {"search": SECRET})],
    "get_contact": [Case(404, path("contact")), Case(404, path("contact_uuid"))],
    "create_contact": [Case("own", lambda ids: PERSON)],
    "update_contact": [Case(404, path("contact", name="Taken")), Case(404, path("contact_uuid", name="Taken"))],
    "delete_contact": [Case(404, path("contact")), Case(404, path("contact_uuid"))],
    "merge_contacts": [
        Case(404, lambda ids: {"id": ids["contact"], "contact_id": ids["other_contact"]}),
        Case(422, lambda ids: {"id": ids["charlies_contact"], "contact_id": ids["contact"]}, ("contact_id",)),
        Case(422, lambda ids: {"id": ids["charlies_contact"], "contact_id": ids["contact_uuid"]}, ("contact_id",)),
    ],
    "import_contacts": [
        Case("own", lambda ids: {"csv": f"name,email,company\nMine,0-{SECRET}@example.com,Mine\n"}),
        Case(422, lambda ids: {"csv": "email\nmine\n"}, ("csv.2.name", "csv.2.email", "csv.2.company")),
    ],
    "export_contacts": [Case("own")],
    "import_cards": [
        Case("own", lambda ids: {"vcard": f"BEGIN:VCARD\nFN:Mine\nEMAIL:0-{SECRET}@example.com\nEND:VCARD\n"}),
        Case(422, lambda ids: {"vcard": "BEGIN:VCARD\nEMAIL:mine\nEND:VCARD\n"}, ("vcard.1.FN", "vcard.1.EMAIL")),
    ],
    "export_cards": [Case("own")],
    "export_card": [Case(404, path("contact")), Case(404, path("contact_uuid"))],
    "get_timeline": [Case(404, path("contact")), Case(404, path("contact_uuid"))],
    "recent_entries": [Case(404, lambda ids: {"contact_id": ids["contact"]})],
    "merges_of_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "find_contact_id": [Case("own", lambda ids: {"ref": ids["contact"]})],
    "list_calls": [
        Case("empty"),
        Case("empty", lambda ids: {"search": SECRET}),
        Case("empty", lambda ids: {"contact_id": ids["contact"]}),
        Case("empty", lambda ids: {"contact_id": ids["contact_uuid"]}),
    ],
    "get_call": [Case(404, path("call")), Case(404, path("call_uuid"))],
    "prepare_call": [Case(404, path("call")), Case(404, path("call_uuid"))],
    "schedule_call": [
        Case(422, lambda ids: {"contact_id": ids["contact"], "title": "Mine", **CALL}, ("contact_id",)),
        Case(422, lambda ids: {"contact_id": ids["contact_uuid"], "title": "Mine", **CALL}, ("contact_id",)),
    ],
    "update_call": [Case(404, path("call", title="Taken")), Case(404, path("call_uuid", title="Taken"))],
    "set_call_status": [Case(404, path("call", status="completed")), Case(404, path("call_uuid", status="completed"))],
    "delete_call": [Case(404, path("call")), Case(404, path("call_uuid"))],
    "remind_of_calls": [Case(403)],
    "calls_of_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "meetings_with_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "notes_of_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "tasks_of_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "orders_of_contact": [Case("own", lambda ids: {"contact_id": ids["contact"]})],
    "list_projects": [Case("empty"), Case("empty", lambda ids: {"search": SECRET})],
    "get_project": [Case(404, path("project"))],
    "create_project": [Case("own", lambda ids: {"title": "Mine"})],
    "update_project": [Case(404, path("project", title="Taken"))],
    "delete_project": [Case(404, path("project"))],
    "remove_project_member": [Case(404, lambda ids: {"id": ids["project"], "user_id": ids["user"]})],
    "find_project_id": [Case("own", lambda ids: {"ref": ids["project"]})],
    "list_tasks": [
        Case("own"),
        Case("empty", lambda ids: {"search": SECRET}),
        Case("empty", lambda ids: {"meeting_id": ids["meeting"]}),
        Case("empty", lambda ids: {"project_id": ids["project"]}),
        Case("empty", lambda ids: {"assignee_id": ids["user"]}),
        Case("empty", lambda ids: {"contact_id": ids["contact"]}),
        Case("empty", lambda ids: {"contact_id": ids["contact_uuid"]}),
    ],
    "get_task": [Case(404, path("task")), Case(404, path("task_uuid"))],
    "create_task": [
        Case("own", lambda ids: {"title": "Mine"}),
        Case(422, lambda ids: {"title": "Mine", "contact_id": ids["contact_uuid"]}, ("contact_id",)),
        Case(
            422,
            lambda ids: dict(zip(TASK_IDS, (ids["meeting"], ids["project"], ids["user"]), strict=True), title="Mine"),
            TASK_IDS,
        ),
    ],
    "update_task": [Case(404, path("task", title="Taken")), Case(404, path("task_uuid", status="done"))],
    "delete_task": [Case(404, path("task")), Case(404, path("task_uuid"))],
    "set_task_status": [Case(404, path("task", status="done")), Case(404, path("task_uuid", status="done"))],
    "assign_task": [
        Case(404, path("task", user_id=1)),
        Case(404, lambda ids: {"id": ids["charlies_task"], "user_id": ids["user"]}),
    ],
    "list_notes": [
        Case("empty"),
        Case("empty", lambda ids: {"search": SECRET}),
        Case("empty", lambda ids: {"meeting_id": ids["meeting"]}),
        Case("empty", lambda ids: {"contact_id": ids["contact"]}),
    ],
    "get_note": [Case(404, path("note"))],
    "add_note": [
        Case("own", lambda ids: {"raw_text": "Mine"}),
        Case(422, lambda ids: {"raw_text": "Mine", "meeting_id": ids["meeting"]}, ("meeting_id",)),
        Case(422, lambda ids: {"raw_text": "Mine", "contact_id": ids["contact"]}, ("contact_id",)),
    ],
    "update_note": [Case(404, path("note", raw_text="Taken"))],
    "delete_note": [Case(404, path("note"))],
    "list_products": [Case("empty", lambda ids: {"search": SECRET}), Case("own")],
    "get_product": [Case(404, path("archived_product"))],
    "create_product": [Case("own", lambda ids: {"sku": "mine", "name": "Mine", "price_cents": 1})],
    "update_product": [Case(404, path("archived_product", name="Taken"))],
    "archive_product": [Case(404, path("archived_product"))],
    "adjust_stock": [Case(404, path("archived_product", delta=1))],
    "receive_stock": [Case(404, path("archived_product", quantity=1))],
    "import_products": [
        Case("own", lambda ids: {"csv": "sku,name,price_cents\nmine,Mine,1\n"}),
        Case(422, lambda ids: {"csv": f"sku,name,price_cents\n{SECRET},Taken,1\n"}, ("csv.2.sku",)),
    ],
    "export_products": [Case("own")],
    "list_movements": [Case(404, path("archived_product"))],
    "list_orders": [Case("empty"), Case("empty", lambda ids: {"status": "RESERVED"})],
    "export_orders": [Case("own"), Case("own", lambda ids: {"status": "PENDING"})],
    "get_order": [Case(404, path("order"))],
    "place_order": [
        Case(
            422,
            lambda ids: {"items": [{"product_id": ids["archived_product"], "quantity": 1}]},
            ("items.0.product_id",),
        ),
    ],
    "confirm_order": [Case(403, path("order"))],
    "pay_order": [Case(404, path("order"))],
    "cancel_order": [Case(404, path("order"))],
    "get_payment": [Case(404, path("order"))],
    "record_payment": [Case(403, lambda ids: {"provider": "stripe", "reference": SECRET, "status": "succeeded"})],
    "follow_payment": [Case(403, path("payment"))],
    "check_payments": [Case(403)],
    "reserve_stock": [Case(403)],
    "expire_reservations": [Case(403)],
    "reconcile_stock": [Case(403)],
    "mail_orders": [Case(403, lambda ids: {"news": {"paid": [ids["order"]]}})],
    "list_categories": [Case("own"), Case("empty", lambda ids: {"search": SECRET})],
    "get_category": [Case("own", path("category"))],
    "create_category": [Case("own", lambda ids: {"name": "Mine"})],
    "update_category": [Case(403, path("category", name="Taken"))],
    "delete_category": [Case(403, path("category"))],
    "list_events": [Case("own"), Case("empty", lambda ids: {"search": SECRET})],
    "count_events": [Case("own", lambda ids: {"search": SECRET})],
    "get_event": [Case(404, path("deleted_event")), Case("own", path("open_event"))],
    "export_event": [Case(404, path("deleted_event"))],
    "read_event_calendar": [Case("own"), Case("own", lambda ids: {"category_id": ids["category"]})],
    "create_event": [Case("own", lambda ids: {"name": "Mine", "start_date": "2030-01-01", "end_date": "2030-01-02"})],
    "update_event": [Case(403, path("open_event", name="Taken")), Case(404, path("deleted_event", name="Taken"))],
    "cancel_event": [Case(403, path("open_event")), Case(404, path("deleted_event"))],
    "delete_event": [Case(403, path("open_event")), Case(404, path("deleted_event"))],
    "list_event_attendees": [
        Case("empty", path("open_event")),
        Case("empty", path("open_event", search=SECRET)),
        Case(404, path("deleted_event")),
    ],
    "register_attendee": [
        Case("own", path("open_event", name="Mine", email="mine@example.com", waitlist=True)),
        Case(404, path("deleted_event", name="Mine", email="mine@example.com")),
    ],
    "remove_attendee": [
        Case(404, lambda ids: {"id": ids["open_event"], "attendee_id": ids["event_attendee"]}),
        Case(404, lambda ids: {"id": ids["deleted_event"], "attendee_id": ids["deleted_attendee"]}),
    ],
    "export_attendees": [Case("own", path("open_event")), Case(404, path("deleted_event"))],
    "print_attendees": [Case("own", path("open_event")), Case(404, path("deleted_event"))],
    "list_attendees": [Case("empty"), Case("empty", lambda ids: {"search": SECRET})],
    "get_attendee": [Case(404, path("event_attendee")), Case(404, path("deleted_attendee"))],
    "update_attendee": [
        Case(404, path("event_attendee", name="Taken")), Case(404, path("deleted_attendee", name="Taken")),
    ],
    "mail_event": [Case(403, path("open_event"))],
    "mail_seats": [Case(403)],
    "mail_moved_up": [Case(403)],
    "remind_of_events": [Case(403)],
    "list_tools": [Case("own"), Case("own", lambda ids: {"format": "openai"})],
    "call_tool": [
        Case(404, lambda ids: {"name": "get_meeting", "arguments": {"id": ids["meeting"]}}),
        Case(404, lambda ids: {"name": "delete_note", "arguments": {"id": ids["note"]}}),
        Case(403, lambda ids: {"name": "update_user", "arguments": {"id": ids["user"], "name": "Taken"}}),
    ],
}  # fmt: skip


def send(api: Api, name: str, position: int, arguments: dict[str, Any], **headers: str) -> Any:
    """The operation's route number `position`, with flat arguments at their places."""
    operation = OPERATIONS[name]
    route = operation.declaration.routes[position]
    url, query, body = route.path, {}, {}
    for parameter in operation.parameters:
        where = operation.where(parameter, route)
        for argument in parameter.argument_names:
            if argument not in arguments:
                continue
            value = arguments[argument]
            if where == "path":
                url = url.replace(f"{{{argument}}}", str(value))
            elif where == "query":
                query[argument] = value
            else:
                body[argument] = value
    url += "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
    return api.request(route.method, url, body if route.method not in ("GET", "DELETE") else None, **headers)
