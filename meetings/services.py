"""Meetings, responses to invitations, and calendar feeds."""

from django.conf import settings
from django.db.models import F

from accounts import timeline
from accounts.services import UserService
from accounts.timeline import TimelineEntries, TimelineEntry, TimelineQuery
from meetings import calendar, notifications
from meetings.calls import CallService as CallService
from meetings.models import CalendarKey, Invitee, Meeting, Response
from meetings.schemas import (
    CalendarKeyOut,
    FeedKey,
    MeetingFilters,
    MeetingId,
    MeetingIn,
    MeetingOut,
    MeetingPatch,
    ResponseIn,
)
from mesh import Page, PageParams, Search, Service, anyone, command, in_person, job, query
from mesh.errors import FieldError, Forbidden, Invalid, NotFound
from mesh.execution.service import absent
from mesh.formats import ical

MOST_IN_FEED = 2000


class MeetingService(Service):
    """Meetings: scheduling them, inviting people, responding to invitations."""

    name = "meetings"

    @query("GET /meetings", ttl=60)
    def list_meetings(self, *, filters: MeetingFilters, search: Search = None, page: PageParams) -> Page[MeetingOut]:
        """List your meetings, newest first.

        These are the meetings that you organize or are invited to, with their attendees and responses; an ADMIN sees
        everyone's. The newest is the one created last: for meetings of a certain day, use `from` and `to`. The search
        looks in title, description and location.
        """
        rows = self.rows(Meeting).between(filters.from_, filters.to).search(search)
        return self.page(rows, MeetingOut, page)

    @query("GET /meetings/{id}", ttl=60)
    def get_meeting(self, *, id: MeetingId) -> MeetingOut:
        """Get one meeting.

        Returns a meeting that you organize or are invited to, with its attendees and their responses.
        """
        return self.one(self.rows(Meeting), MeetingOut, id)

    @query("GET /meetings/{id}/ics", tool=False, media=ical.MEDIA)
    def export_meeting(self, *, id: MeetingId) -> str:
        """Export one meeting as an iCalendar file.

        Returns a text/calendar file, to be opened in a calendar application.
        """
        meeting = self.rows(Meeting).with_people().filter(pk=id).first()
        if meeting is None:
            raise absent(Meeting)
        return calendar.document(meeting)

    @command("POST /meetings", creates=Meeting)
    def schedule_meeting(self, *, data: MeetingIn) -> MeetingOut:
        """Schedule a meeting and invite people to it.

        You become its organizer. Invite users with `attendee_ids` and anyone with `attendee_emails`; the e-mail of a
        user you know invites that user. All who are invited get a mail with a calendar file, unless the meeting is
        over. Everyone who has not declined is reminded by mail an hour before it begins. Returns the meeting.
        """
        user_ids, emails = self._resolve_invited(data)
        fields = data.model_dump(exclude={"attendee_ids", "attendee_emails"})
        meeting = Meeting.objects.schedule(organizer_id=self.actor.id, user_ids=user_ids, emails=emails, **fields)
        if user_ids or emails:
            self.defer(self.mail_invitations, id=meeting.pk)
            if not meeting.is_over:
                self.will_mail(len({*user_ids} - {self.actor.id}) + len(emails))
        self.changed(meeting)
        return self.result_of(meeting, MeetingOut)

    @command("PATCH /meetings/{id}", "PUT /meetings/{id}")
    def update_meeting(self, *, id: MeetingId, data: MeetingPatch) -> MeetingOut:
        """Update a meeting that you organize.

        Changes only the fields that you send; a list of attendees replaces the one before, and people who stay on it
        keep their response. Attendees get a mail if title, time, duration or location change. People who are new on
        the list get an invitation, people taken off it a cancellation. Returns the meeting. An ADMIN may update any.
        """
        meeting = self.lock_to_change(Meeting, id)
        before = self._with_people(id)
        sent = data.sent()
        is_changed = False
        if sent.keys() & {"attendee_ids", "attendee_emails"}:
            attendees = list(before.attendees.all())
            if "attendee_ids" not in sent:
                data.attendee_ids = [a.user_id for a in attendees if a.user_id is not None]
            if "attendee_emails" not in sent:
                data.attendee_emails = [a.email for a in attendees if a.email is not None]
            is_changed = meeting.invite(*self._resolve_invited(data))
        fields = {name: value for name, value in sent.items() if name not in ("attendee_ids", "attendee_emails")}
        is_changed |= any(getattr(meeting, name) != value for name, value in fields.items())
        meeting.assign(fields)
        meeting.sequence += is_changed
        self.save(meeting)
        if is_changed:
            notifications.tell_changes(self, before, self._with_people(id))
        return self.result_of(meeting, MeetingOut)

    @command("DELETE /meetings/{id}")
    def cancel_meeting(self, *, id: MeetingId) -> None:
        """Cancel and delete a meeting that you organize.

        All who were invited get a mail that removes it from their calendars, unless it is over. Its notes and tasks
        stay, without the meeting. It cannot be undone. An ADMIN may cancel any meeting.
        """
        meeting = self.lock_to_change(Meeting, id)
        notifications.cancel(self, self._with_people(id))
        self.changed(meeting)
        meeting.delete()

    @command("POST /meetings/{id}/respond")
    def respond_to_meeting(self, *, id: MeetingId, data: ResponseIn) -> MeetingOut:
        """Respond to an invitation to a meeting.

        You must be invited to the meeting yourself (else 403). If your response changes, the organizer gets a mail,
        unless the meeting is over. Returns the meeting.
        """
        meeting = self.lock(Meeting, id)
        attendee = Invitee.objects.select_related("user").filter(meeting=meeting, user_id=self.actor.id).first()
        if attendee is None:
            raise Forbidden("You are not invited to this meeting, so there is nothing to answer.")
        if attendee.response != data.response:
            attendee.response = Response(data.response)
            attendee.save(update_fields=["response"])
            notifications.tell_answer(self, meeting, attendee)
        self.changed(meeting)
        return self.result_of(meeting, MeetingOut)

    @query(tool=False)
    def meetings_with_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List the meetings that a contact organizes or is invited to, for its timeline."""
        return timeline.entries(
            query,
            self.rows(Meeting).with_emails(query.emails),
            "scheduled_time",
            lambda meeting: TimelineEntry(
                service=self.name,
                id=meeting.pk,
                at=meeting.scheduled_time,
                title=meeting.title,
                details={"duration_minutes": meeting.duration_minutes, "location": meeting.location},
            ),
        )

    @query(tool=False)
    def find_meeting_id(self, *, ref: int) -> int | None:
        """Get the id of this meeting if you may see it, else null."""
        return self.find_id(Meeting, ref)

    @job(queue="mail", mails_only=True)
    def mail_invitations(self, *, id: int) -> None:
        """Send the invitations to a new meeting.

        They go to those who are invited by now, and to nobody if the meeting is gone.
        """
        meeting = Meeting.objects.with_people().filter(pk=id).first()
        if meeting is not None:
            notifications.invite(self, meeting)
        self.changed()

    @job(queue="mail", every=60, lease=60)
    def remind_of_meetings(self) -> None:
        """Send reminders of the meetings that begin within an hour."""
        due = Meeting.objects.to_remind_of().with_people()
        for meeting in self.claim_due(due, self.remind_of_meetings, reminded_for=F("scheduled_time")):
            notifications.remind(self, meeting)

    def _with_people(self, id: int) -> Meeting:
        """Reads a meeting that this command has locked, as it is now, with its organizer and attendees."""
        return Meeting.objects.with_people().get(pk=id)

    def _resolve_invited(self, data: MeetingIn) -> tuple[list[int], list[str]]:
        """The ids of the invited users, and the e-mails of the guests; an e-mail of a known user invites the user.

        Raises Invalid if the actor does not know one of `attendee_ids`.
        """
        if not data.attendee_ids and not data.attendee_emails:
            return [], []
        users = self.of(UserService)
        ids = set(users.find_user_ids(ids=data.attendee_ids)) if data.attendee_ids else set()
        unknown = [
            FieldError(loc=["body", "attendee_ids", index], msg="You know no user with this id.", type="not_found")
            for index, user_id in enumerate(data.attendee_ids)
            if user_id not in ids
        ]
        if unknown:
            raise Invalid(unknown)
        emails = {email.lower(): email for email in data.attendee_emails}
        people = users.find_people(emails=list(emails)) if emails else []
        by_email = {person.email.lower(): person.id for person in people}
        guests = [email for key, email in emails.items() if key not in by_email]
        return sorted({*data.attendee_ids, *by_email.values()}), guests


class CalendarService(Service):
    """Your meetings as a feed for calendar applications."""

    name = "calendar"

    @command("POST /calendar/key", allow=in_person, tool=False, secret=True)
    def make_calendar_key(self) -> CalendarKeyOut:
        """Create the secret address of your calendar feed.

        A calendar application can subscribe to your meetings at this address, without signing in. It is only in this
        answer. It replaces the address that you had: whatever subscribed to the old one gets no more updates.
        """
        key = CalendarKey.objects.issue(self.actor.id)
        self.changed()
        return CalendarKeyOut(key=key, url=f"{settings.SITE_URL}/calendar.ics?key={key}")

    @query("GET /calendar.ics", allow=anyone, tool=False, media=ical.MEDIA)
    def read_calendar(self, *, key: FeedKey) -> str:
        """Get a user's meetings as an iCalendar feed.

        Returns the meetings of the last 90 days and all to come, without their attendees, of the user who created the
        key. The key is all it takes, so that a calendar application can subscribe. Meetings that the user declined
        leave the time free.
        """
        owner = CalendarKey.objects.owner_of(key)
        if owner is None:
            raise NotFound("There is no such calendar. Its key may have been replaced by a new one.")
        rows = Meeting.objects.of_user(owner).since(days=90).soonest_first().select_related("organizer")
        meetings = sorted(rows[:MOST_IN_FEED], key=lambda meeting: (meeting.scheduled_time, meeting.pk))
        return calendar.feed(meetings, Invitee.objects.declined_by(owner))
