"""Cached meetings: what others change, such as their names and answers, shows at once."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from meetings.models import Meeting
from mesh.tests.conftest import live as live
from mesh.tests.database import sql, wait_for_a_lock

WHEN = "2030-01-01T10:00:00Z"


def plan(person: Any, *guests: Any, title: str = "0") -> int:
    made = person.api.post(
        "/meetings", {"title": title, "scheduled_time": WHEN, "attendee_ids": [guest.id for guest in guests]}
    )
    assert made.status == 201
    return made.json["id"]


def cached_list(person: Any) -> list[dict[str, Any]]:
    """The person's list of meetings, which has just been answered from the cache."""
    first, second = person.api.get("/meetings"), person.api.get("/meetings")
    assert second.headers.get("X-Cache") == "hit"
    assert second.json == first.json
    return second.json["results"]


def test_a_new_name_shows_at_once_in_a_colleagues_list(alice, bob):
    plan(alice, bob)
    assert cached_list(alice)[0]["attendees"][0]["name"] == "Bob"
    bob.api.patch("/users/me", {"name": "Robert"})
    assert alice.api.get("/meetings").json["results"][0]["attendees"][0]["name"] == "Robert"
    cached_list(bob)
    alice.api.patch("/users/me", {"name": "Alicia"})
    assert bob.api.get("/meetings").json["results"][0]["organizer"]["name"] == "Alicia"


def test_who_is_no_longer_invited_sees_it_no_more_and_who_is_added_sees_it(alice, bob):
    meeting = plan(alice, bob)
    assert len(cached_list(bob)) == 1
    assert bob.api.get(f"/meetings/{meeting}").status == 200
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": []})
    assert bob.api.get("/meetings").json == {"count": 0, "next": None, "results": []}
    assert bob.api.get(f"/meetings/{meeting}").status == 404
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": [bob.id]})
    assert bob.api.get("/meetings").json["count"] == 1


def test_an_answer_to_an_invitation_shows_at_once(alice, bob):
    meeting = plan(alice, bob)
    assert cached_list(alice)[0]["attendees"][0]["response"] == "pending"
    bob.api.post(f"/meetings/{meeting}/respond", {"response": "accepted"})
    assert alice.api.get("/meetings").json["results"][0]["attendees"][0]["response"] == "accepted"


@pytest.mark.django_db(transaction=True)
def test_a_name_changed_while_a_meeting_is_being_planned_reaches_who_was_just_invited(person, live):
    """The renaming knows its audience before the meeting is there; carol reads before the renaming is done."""
    people = sorted((person(name) for name in ("alice", "bob", "carol")), key=lambda p: p.actor.cache_tag)
    alice, bob, carol = people
    boss = person("boss", "ADMIN")
    bob.user.invited_by = alice.user
    bob.user.save(update_fields=["invited_by"])
    sql("INSERT INTO mesh_version VALUES (%s, 1)", alice.actor.cache_tag)
    with transaction.atomic():  # alice's version is busy: the renaming has to wait for it with its last statement
        sql("UPDATE mesh_version SET number = number + 1 WHERE scope = %s", alice.actor.cache_tag)
        renaming = threading.Thread(target=live, args=("PATCH", "/users/me", bob.api.token, {"name": "Robert"}))
        renaming.start()
        wait_for_a_lock()
        invite = {"title": "1", "scheduled_time": WHEN, "attendee_ids": [bob.id, carol.id]}
        status, _, _ = live("POST", "/meetings", boss.api.token, invite)
        early = [live("GET", "/meetings", carol.api.token)[2]["results"] for _ in range(2)]
    renaming.join()
    connection.close()
    assert status == 201
    names = {a["name"] for a in live("GET", "/meetings", carol.api.token)[2]["results"][0]["attendees"]}
    assert "Robert" in names, early
    assert Meeting.objects.count() == 1
