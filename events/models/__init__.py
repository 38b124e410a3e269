"""Events, their categories, attendees and waiting lists.

An event's row counts its attendees, and whoever changes them locks it first, so an event is never over-full. CHECKs
enforce that too, and that nobody waits while a seat is free.
"""

from events.models.attendees import Attendee as Attendee
from events.models.attendees import EventAttendeeQuerySet as EventAttendeeQuerySet
from events.models.attendees import Registration as Registration
from events.models.attendees import RegistrationQuerySet as RegistrationQuerySet
from events.models.attendees import RegistrationStatus as RegistrationStatus
from events.models.attendees import place_in_line as place_in_line
from events.models.categories import Category as Category
from events.models.events import MAX_CAPACITY as MAX_CAPACITY
from events.models.events import SOONEST_FIRST as SOONEST_FIRST
from events.models.events import Event as Event
from events.models.events import EventQuerySet as EventQuerySet
from events.models.events import EventStatus as EventStatus
