"""Meetings: scheduling them, answering invitations."""

from typing import Annotated

from django.db.models.functions import Now
from pydantic import Field

from accounts.services import UserService
from meetings.models import Attendee, Meeting
from meetings.schemas import MeetingFilters, MeetingIn, MeetingOut, MeetingPatch, ResponseIn
from mesh import Page, PageParams, Search, Service, command, query
from mesh.errors import FieldError, Forbidden, Invalid


class MeetingService(Service):
    """Meetings and who comes to them."""

    name = "meetings"

    @query("GET /meetings", ttl=60)
    def list_meetings(self, *, filters: MeetingFilters, search: Search = None, page: PageParams) -> Page[MeetingOut]:
        """List the meetings that you organize or are invited to, newest first."""
        rows = self.rows(Meeting).between(filters.from_, filters.to).search(search)
        return self.page(rows, MeetingOut, page)

    @query("GET /meetings/{id}", ttl=60)
    def get_meeting(self, *, id: int) -> MeetingOut:
        """Show one meeting with its attendees and their answers."""
        return self.one(self.rows(Meeting), MeetingOut, id)

    @command("POST /meetings")
    def schedule_meeting(self, *, data: MeetingIn) -> MeetingOut:
        """Schedule a meeting. You organize it; invite users by id and anyone by e-mail."""
        user_ids, emails = self._invited(data)
        fields = data.model_dump(exclude={"attendee_ids", "attendee_emails"})
        meeting = Meeting.objects.schedule(organizer_id=self.actor.id, user_ids=user_ids, emails=emails, **fields)
        self.changed(meeting)
        return self.show(meeting, MeetingOut)

    @command("PATCH /meetings/{id}", "PUT /meetings/{id}")
    def update_meeting(self, *, id: int, data: MeetingPatch) -> MeetingOut:
        """Change a meeting that you organize; fields that are not sent stay as they are."""
        meeting = self._own(id)
        sent = data.sent()
        for field in sent.keys() - {"attendee_ids", "attendee_emails"}:
            setattr(meeting, field, sent[field])
        meeting.updated_at = Now()
        meeting.save()
        if sent.keys() & {"attendee_ids", "attendee_emails"}:
            here = list(meeting.attendees.all())
            if "attendee_ids" not in sent:
                data.attendee_ids = [a.user_id for a in here if a.user_id is not None]
            if "attendee_emails" not in sent:
                data.attendee_emails = [a.email for a in here if a.email is not None]
            meeting.invite(*self._invited(data))
        self.changed(meeting)
        return self.show(meeting, MeetingOut)

    @command("DELETE /meetings/{id}")
    def cancel_meeting(self, *, id: int) -> None:
        """Cancel and remove a meeting that you organize. Its notes and tasks stay, without it."""
        meeting = self._own(id)
        self.changed(meeting)
        meeting.delete()

    @command("POST /meetings/{id}/respond")
    def respond_to_meeting(self, *, id: int, data: ResponseIn) -> MeetingOut:
        """Accept or decline an invitation, or say that you may come."""
        meeting = self.take(Meeting, id)
        if not Attendee.objects.filter(meeting=meeting, user_id=self.actor.id).update(response=data.response):
            raise Forbidden("You are not invited to this meeting, so there is nothing to answer.")
        self.changed(meeting)
        return self.show(meeting, MeetingOut)

    @query(tool=False)
    def known_meetings(self, *, ids: Annotated[list[int], Field(max_length=200)]) -> list[int]:
        """Which of these meetings you may see."""
        return sorted(self.visible(Meeting, ids))

    def _own(self, id: int) -> Meeting:
        meeting = self.take(Meeting, id)
        if not meeting.may_be_changed_by(self.actor):
            raise Forbidden("Only the organizer changes a meeting; you may answer its invitation.")
        return meeting

    def _invited(self, data: MeetingIn) -> tuple[list[int], list[str]]:
        """The users and the mail-only guests; an e-mail of a user you know invites the user."""
        if not data.attendee_ids and not data.attendee_emails:
            return [], []
        users = self.of(UserService)
        ids = set(users.known_users(ids=data.attendee_ids)) if data.attendee_ids else set()
        unknown = [
            FieldError(loc=["body", "attendee_ids", place], msg="You know no user with this id.", type="not_found")
            for place, user_id in enumerate(data.attendee_ids)
            if user_id not in ids
        ]
        if unknown:
            raise Invalid(unknown)
        emails = {email.lower(): email for email in data.attendee_emails}
        people = users.known_people(emails=list(emails)) if emails else []
        by_email = {person.email.lower(): person.id for person in people}
        guests = [email for key, email in emails.items() if key not in by_email]
        return sorted({*data.attendee_ids, *by_email.values()}), guests
