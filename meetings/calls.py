"""Calls with contacts."""

from functools import partial

from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import timeline
from accounts.contacts import ContactService
from accounts.models import MailKind
from accounts.timeline import TimelineEntries, TimelineEntry, TimelineQuery
from meetings.models import Call
from meetings.schemas import BriefOut, CallFilters, CallIn, CallOut, CallPatch, CallRef, NewCallStatus
from mesh import Page, PageParams, Ref, Search, Service, command, job, query
from mesh.errors import Invalid
from mesh.mail.messages import in_words

MOST_TALKS = 5  # talks in a brief, and orders
MOST_LOOKED_AT = 200  # tasks read for a brief, which shows the open ones


class CallService(Service):
    """Calls with your contacts, and briefs to prepare for them."""

    name = "calls"

    @query("GET /calls")
    def list_calls(self, *, filters: CallFilters, search: Search = None, page: PageParams) -> Page[CallOut]:
        """List your calls, newest first.

        These are the calls with your contacts; an ADMIN sees everyone's. The newest is the one created last: for calls
        of a certain day, use `from` and `to`. The search looks in title and notes.
        """
        rows = self.rows(Call).with_status(filters.status).between(filters.from_, filters.to).search(search)
        if filters.contact_id is not None:
            rows = rows.filter(contact_id=self.of(ContactService).find_contact_id(ref=filters.contact_id) or 0)
        return self.page(rows, CallOut, page)

    @query("GET /calls/{id}")
    def get_call(self, *, id: CallRef) -> CallOut:
        """Get one call with a contact of yours.

        To prepare for it, use prepare_call.
        """
        return self.one(self.rows(Call), CallOut, id)

    @query("GET /calls/{id}/brief")
    def prepare_call(self, *, id: CallRef) -> BriefOut:
        """Get a brief that prepares you for a call.

        Returns the call, the contact, the last five calls, meetings and notes with the contact, the open tasks and the
        last five orders, as far as you may see them: as data, and as one text.
        """
        call = self.of(CallService).get_call(id=id)
        contacts = self.of(ContactService)
        contact, until = contacts.get_contact(id=call.contact_id), max(call.scheduled_for, timezone.now())
        recent = partial(contacts.recent_entries, contact_id=contact.id, before=until)
        talks = recent(services=["calls", "meetings", "notes"], limit=MOST_TALKS + 1)
        tasks = recent(services=["tasks"], limit=MOST_LOOKED_AT)
        brief = BriefOut(
            call=call,
            contact=contact,
            talks=[entry for entry in talks if (entry.service, entry.id) != (self.name, call.id)][:MOST_TALKS],
            open_tasks=[task for task in tasks if task.status in ("todo", "in_progress")],
            orders=recent(services=["orders"], limit=MOST_TALKS),
            text="",
        )
        brief.text = render_to_string("calls/brief.txt", {"brief": brief, "begins": in_words(call.scheduled_for)})
        return brief

    @command("POST /calls", creates=Call)
    def schedule_call(self, *, data: CallIn) -> CallOut:
        """Schedule a call with one of your contacts.

        You are reminded by mail 15 minutes before it begins; the contact gets no mail. If the contact does not exist
        yet, create it first with create_contact. Returns the call.
        """
        call = Call.objects.create(**data.model_dump() | {"contact_id": self._require_contact_id(data.contact_id)})
        self.changed(call)
        return self.result_of(call, CallOut)

    @command("PATCH /calls/{id}", "PUT /calls/{id}")
    def update_call(self, *, id: CallRef, data: CallPatch) -> CallOut:
        """Update a call.

        Changes only the fields that you send, and returns the call. The contact gets no mail; you are reminded again
        if the call is moved.
        """
        call, sent = self.lock(Call, id), data.sent()
        if "contact_id" in sent:
            sent["contact_id"] = self._require_contact_id(data.contact_id)
        return self._save_changes(call, sent)

    @command("PATCH /calls/{id}/status")
    def set_call_status(self, *, id: CallRef, status: NewCallStatus) -> CallOut:
        """Set the status of a call.

        Use it once a call took place or is cancelled; no reminder is sent of such a call. To move a call, send the new
        time to update_call. Returns the call.
        """
        return self._save_changes(self.lock(Call, id), {"status": status})

    @command("DELETE /calls/{id}")
    def delete_call(self, *, id: CallRef) -> None:
        """Delete a call.

        It disappears from the contact's timeline too, and this cannot be undone. To keep it there, set its status to
        `cancelled` instead.
        """
        call = self.lock(Call, id)
        self.changed(call)
        call.delete()

    @query(tool=False)
    def calls_of_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List a contact's calls, for its timeline."""
        return timeline.entries(
            query,
            self.rows(Call).filter(contact_id=query.contact_id),
            "scheduled_for",
            lambda call: TimelineEntry(
                service=self.name,
                id=call.pk,
                at=call.scheduled_for,
                title=call.title,
                status=call.status,
                details={"uuid": str(call.uuid), "duration_minutes": call.duration_minutes, "notes": call.notes},
            ),
        )

    @job(queue="mail", every=60, lease=60)
    def remind_of_calls(self) -> None:
        """Send reminders of the calls that begin within 15 minutes.

        Calls that took place or are cancelled are left out.
        """
        due = Call.objects.to_remind_of().select_related("contact__owner")
        for call in self.claim_due(due, self.remind_of_calls, reminded_for=F("scheduled_for")):
            self.mail(
                to=call.contact.owner.email,
                kind=MailKind.CALL_REMINDERS,
                template="calls/reminder",
                context={"call": call, "contact": call.contact, "begins": in_words(call.scheduled_for)},
                key=f"call:{call.pk}:{call.scheduled_for:%Y%m%dT%H%M%S.%fZ}:reminder",
            )

    def _save_changes(self, call: Call, fields: dict[str, object]) -> CallOut:
        self.update(call, fields)
        return self.result_of(call, CallOut)

    def _require_contact_id(self, ref: Ref) -> int:
        contact_id = self.of(ContactService).find_contact_id(ref=ref)
        if contact_id is None:
            raise Invalid.field(["body", "contact_id"], "You have no such contact.", "not_found")
        return contact_id
