"""Contacts in the admin: everyone's, changed through operations alone; two of them made one."""

import pytest
from django.contrib import admin
from django.test import Client

from accounts.models import Contact, MergedContact
from accounts.tests.assertions import ids, nothing_changes, refused
from accounts.tests.browser import submit, text_of
from accounts.tests.test_contact_sheets import create
from mesh.models import AuditEntry

CONTACTS = "/admin/accounts/contact/"


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


def act(site, action, *ids, **fields):
    """The words of the list after an action on its rows."""
    sent = {"action": action, "_selected_action": [str(id) for id in ids], **fields}
    return text_of(site.post(CONTACTS, sent, follow=True))


def audited():
    """The operations that came through the admin, and what became of them."""
    return list(AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome"))


def names(page):
    return [row.name for row in page.context["cl"].result_list]


def errors_of(response):
    return response.context["adminform"].form.errors


def test_everyones_contacts_are_listed_and_found(site, ada, alice, bob):
    create(alice, name="Ann", user_type="partner", phone="555")
    create(bob, name="Ben", company="Acme", notes="Tea")
    create(bob, name="Two", allow_duplicate=True)
    create(ada, name="Cid", user_type="prospect")
    page = site.get(CONTACTS)
    assert names(page) == ["Cid", "Two", "Ben", "Ann"]
    assert "Ann Azollon partner maria@example.com 555 Alice" in text_of(page)
    for query, found in (
        ("user_type__exact=prospect", ["Cid"]), (f"owner__id__exact={bob.id}", ["Two", "Ben"]), ("q=tea", ["Ben"]),
        ("is_duplicate__exact=1", ["Two"]), ("q=alice%40example.com", ["Ann"]), ("q=ACME", ["Ben"]), ("q=555", ["Ann"]),
        ("q=nothing", []), ("user_type__exact=friend", []), ("o=2", ["Ben", "Cid", "Two", "Ann"]),
    ):  # fmt: skip
        assert sorted(names(site.get(f"{CONTACTS}?{query}"))) == sorted(found), query


def test_who_adds_a_contact_has_it(site, ada, alice):
    sent = {"name": "Ann", "email": "Ann@Example.com", "company": "Acme", "notes": "One\r\nTwo", "owner": str(alice.id)}
    response = submit(site, f"{CONTACTS}add/", "contact_form", **sent)
    assert response.status_code == 302, errors_of(response)
    made = Contact.objects.get()
    assert (made.owner_id, made.email, made.notes, made.phone) == (ada.id, "Ann@example.com", "One\nTwo", None)
    assert (made.user_type, made.is_duplicate) == ("client", False)
    with nothing_changes():
        for changes in ({}, {"company": ""}, {"name": "x" * 101}, {"email": "ann"}):
            response = submit(site, f"{CONTACTS}add/", "contact_form", **{**sent, **changes})
            assert response.status_code == 200
            assert errors_of(response).keys() == (changes.keys() or {"__all__"})
    assert submit(site, f"{CONTACTS}add/", "contact_form", **sent, allow_duplicate="on").status_code == 302
    assert Contact.objects.filter(owner=ada.user, is_duplicate=True).count() == 1
    assert audited() == [("create_contact", "ok"), ("create_contact", "contacts.duplicate"), ("create_contact", "ok")]


def test_changing_one_leaves_it_to_its_owner(site, ada, alice):
    made, other = create(alice, phone="1", notes="Tea"), create(alice, email="other@example.com")
    path = f"{CONTACTS}{made}/change/"
    with nothing_changes():
        assert submit(site, path, "contact_form").status_code == 302
    forged = {"company": "New", "phone": "", "owner": str(ada.id), "uuid": str(Contact.objects.get(pk=other).uuid)}
    assert submit(site, path, "contact_form", **forged).status_code == 302
    shown = alice.api.get(f"/contacts/{made}").json
    assert (shown["company"], shown["phone"], shown["notes"], shown["name"]) == ("New", None, "Tea", "María García")
    assert Contact.objects.filter(owner=alice.user).count() == 2
    with nothing_changes():
        response = submit(site, path, "contact_form", email="OTHER@example.com")
        assert "You have a contact with this e-mail already." in text_of(response)
        assert errors_of(submit(site, path, "contact_form", name="")).keys() == {"name"}
    assert submit(site, path, "contact_form", email="OTHER@example.com", allow_duplicate="on").status_code == 302
    assert Contact.objects.get(pk=made).is_duplicate
    assert [outcome for _, outcome in audited()] == ["ok", "contacts.duplicate", "ok"]


def test_deleting_contacts(site, alice):
    first, second, third = (create(alice, email=f"p{n}@example.com") for n in range(3))
    call = {"contact_id": first, "title": "Talk", "scheduled_for": "2030-01-01T10:00:00Z"}
    made = alice.api.post("/calls", call).json["id"]
    assert site.post(f"{CONTACTS}{first}/delete/", {"post": "yes"}).status_code == 302
    refused(alice.api.get(f"/calls/{made}"), 404)
    act(site, "delete_selected", second, post="yes")
    assert ids(alice.api.get("/contacts")) == [third]
    assert audited() == [("delete_contact", "ok")] * 2


def test_a_contact_leads_to_what_other_apps_have_of_it(site, alice):
    made, other = create(alice), create(alice, email="other@example.com", name="Other")
    for title, contact in (("First", made), ("Second", made), ("Others", other)):
        body = {"contact_id": contact, "title": title, "scheduled_for": "2030-01-01T10:00:00Z"}
        assert alice.api.post("/calls", body).status == 201
    alice.api.post("/notes", {"raw_text": "Said", "contact_id": made})
    page = site.get(f"{CONTACTS}{made}/change/")
    for told in ("2 calls", "1 note", "0 tasks"):
        assert told in text_of(page)
    for table, number in (("meetings/call", 2), ("notes/note", 1), ("tasks/task", 0)):
        path = f"/admin/{table}/?contact__id__exact={made}"
        assert path in page.content.decode()
        assert site.get(path).context["cl"].result_count == number
    assert MergedContact not in admin.site._registry


def test_of_two_that_are_merged_the_first_one_stays(site, alice):
    first, second = create(alice, name="First"), create(alice, name="Second", email="second@example.com", phone="2")
    Contact.objects.filter(pk=first).update(created_at="2030-01-01T00:00:00Z")
    call = {"contact_id": first, "title": "Talk", "scheduled_for": "2030-01-01T10:00:00Z"}
    made = alice.api.post("/calls", call).json["id"]
    assert "First, Azollon became part of Second, Azollon." in act(site, "merge", first, second)
    assert ids(alice.api.get("/contacts")) == [second]
    assert alice.api.get(f"/calls/{made}").json["contact_id"] == second
    assert MergedContact.objects.get().fields["name"] == "First"
    assert audited() == [("merge_contacts", "ok")]


def test_only_two_of_one_owner_are_merged(site, alice, bob):
    mine = [create(alice, email=f"p{n}@example.com") for n in range(3)]
    theirs = create(bob)
    with nothing_changes():
        for chosen in (mine[:1], mine):
            assert "Choose exactly two contacts to merge." in act(site, "merge", *chosen)
        assert "It has another owner." in act(site, "merge", mine[0], theirs)
    assert audited() == [("merge_contacts", "invalid")]


def test_agents_see_none_of_it(alice, bob):
    made = create(alice)
    client = Client()
    client.force_login(alice.user)
    for path in (CONTACTS, f"{CONTACTS}add/", f"{CONTACTS}{made}/change/"):
        assert client.get(path).status_code == 302
    with nothing_changes():
        client.post(CONTACTS, {"action": "delete_selected", "_selected_action": [str(made)], "post": "yes"})


def test_over_the_limit_nothing_more_is_done_in_the_admin(site, ada, settings):
    ids = [create(ada, email=f"n{number}@example.com") for number in range(3)]
    settings.MESH = {**settings.MESH, "RATE_LIMIT_WRITE": "1/min"}
    act(site, "delete_selected", ids[0], post="yes")
    left = list(Contact.objects.values_list("pk", flat=True))
    words = act(site, "delete_selected", *ids[1:], post="yes")
    assert words.count("At most 1 requests in 60 seconds.") == 2
    assert list(Contact.objects.values_list("pk", flat=True)) == left
