"""/contacts: people outside, each of one user's; their e-mails; merging two of them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import connection, connections

from accounts.models import Contact, MergedContact
from accounts.tests.assertions import TIME, UUID7, at_once, faults, ids, nothing_changes, refused
from accounts.timeline import MOST_EMAILS
from mesh.documents.mirror import document_kinds
from mesh.stores.postgres import fetch
from mesh.tests.processes import eventually

MARIA = {"name": "María García", "email": "maria@example.com", "company": "Azollon"}
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def create(person, **fields):
    return person.api.post("/contacts", MARIA | fields)


@pytest.fixture
def maria(alice):
    return create(alice, phone="1", notes="Likes tea").json


def test_a_contact_is_its_owners_under_its_id_and_its_uuid(alice, ada):
    made = create(alice, user_type="partner", phone="+34 600", notes="Likes tea")
    contact = Contact.objects.get()
    assert (made.status, made.headers["Location"]) == (201, f"/api/v1/contacts/{contact.pk}")
    assert made.json == MARIA | {
        "id": contact.pk,
        "uuid": str(contact.uuid),
        "user_type": "partner",
        "phone": "+34 600",
        "notes": "Likes tea",
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.json["uuid"] == UUID7
    for ref in (contact.pk, contact.uuid, str(contact.uuid).upper()):
        assert alice.api.get(f"/contacts/{ref}").json == ada.api.get(f"/contacts/{ref}").json == made.json


def test_what_is_left_out_has_its_default(alice):
    made = create(alice).json
    assert (made["user_type"], made["phone"], made["notes"]) == ("client", None, "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 101), ("name", None), ("email", "maria"), ("company", ""), ("company", "x" * 101),
        ("name", "\x1c"), ("company", " \x07\x7f "), ("phone", "\x01\n\x1f"),
        ("user_type", "friend"), ("phone", "x" * 51), ("notes", "x" * 501), ("notes", "a\x00b"), ("colour", "red"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_named(alice, maria, field, value):
    with nothing_changes():
        assert faults(create(alice, **{"email": "other@example.com", field: value})).keys() == {("body", field)}
        for method in ("PUT", "PATCH"):
            answer = alice.api.request(method, f"/contacts/{maria['id']}", {field: value})
            assert faults(answer).keys() == {("body", field)}


def test_the_limits_themselves_are_taken(alice):
    most = {"name": "x" * 100, "company": "x" * 100, "notes": "x" * 500}
    assert create(alice, **most).json.items() >= most.items()


def test_a_second_one_with_that_e_mail_must_be_wanted(alice, bob, maria):
    with nothing_changes():
        problem = refused(create(alice, email="MARIA@example.com"), 409, "contacts.duplicate")
    assert "allow_duplicate: true" in problem["detail"]
    second = create(alice, email="MARIA@example.com", allow_duplicate=True)
    assert (second.status, second.json["email"]) == (201, "MARIA@example.com")
    refused(create(alice), 409, "contacts.duplicate")
    assert create(bob).status == 201
    assert alice.api.delete(f"/contacts/{maria['id']}").status == 204
    refused(create(alice), 409, "contacts.duplicate")
    assert alice.api.delete(f"/contacts/{second.json['id']}").status == 204
    assert create(alice).status == 201


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_with_one_e_mail_one_is_made(alice):
    answers = at_once(*[lambda: create(alice)] * 8)
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert Contact.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_that_are_wanted_all_are_made_and_one_has_the_e_mail_for_its_own(alice):
    answers = at_once(*[lambda: create(alice, allow_duplicate=True)] * 8)
    assert [answer.status for answer in answers] == [201] * 8
    assert list(Contact.objects.order_by("is_duplicate").values_list("is_duplicate", flat=True)) == [False] + [True] * 7
    refused(create(alice), 409, "contacts.duplicate")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_may_change_to_one_e_mail_where_that_is_wanted(alice):
    paths = [f"/contacts/{create(alice, email=f'{n}@example.com').json['id']}" for n in range(8)]
    change = {"email": "maria@example.com", "allow_duplicate": True}
    answers = at_once(*[lambda path=path: alice.api.patch(path, change) for path in paths])
    assert [answer.status for answer in answers] == [200] * 8
    assert Contact.objects.filter(email="maria@example.com", is_duplicate=False).count() == 1


def test_an_e_mail_that_is_changed_is_looked_at_too(alice, maria):
    other = create(alice, email="other@example.com").json
    path = f"/contacts/{other['id']}"
    with nothing_changes():
        refused(alice.api.patch(path, {"email": "Maria@example.com"}), 409, "contacts.duplicate")
    assert alice.api.patch(path, {"email": "Maria@example.com", "allow_duplicate": True}).status == 200
    assert alice.api.patch(path, {"name": "M."}).status == 200
    assert alice.api.patch(path, {"email": "MARIA@example.com"}).status == 200
    assert alice.api.patch(f"/contacts/{maria['id']}", {"email": "MARIA@example.com"}).status == 200


def test_e_mails_are_the_same_where_the_database_says_so(alice):
    """Python makes another small letter of the last one of a word, and two of one with a dot."""
    create(alice, email="ασ@example.com")
    other = f"/contacts/{create(alice, email='ας@example.com').json['id']}"
    refused(alice.api.patch(other, {"email": "ΑΣ@example.com"}), 409, "contacts.duplicate")
    assert alice.api.patch(other, {"email": "ΑΣ@example.com", "allow_duplicate": True}).status == 200
    with_a_dot = f"/contacts/{create(alice, email='İ@example.com').json['id']}"
    refused(alice.api.patch(other, {"email": "i@example.com"}), 409, "contacts.duplicate")
    assert alice.api.patch(with_a_dot, {"email": "i@example.com"}).status == 200


def test_of_restored_ones_with_one_e_mail_the_first_has_it_for_its_own(alice):
    create(alice, email="ασ@example.com")
    emails = ["İq@example.com", "iq@example.com", "ΑΣ@example.com", "ας@example.com"]
    rows = [Contact(owner=alice.user, name="R", company="A", email=email) for email in emails]
    document_kinds["users"].complete(rows)
    Contact.objects.bulk_create(rows)
    assert [row.is_duplicate for row in rows] == [False, True, True, False]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_sent_changes_and_the_rest_stays(alice, maria, method):
    answer = alice.api.request(method, f"/contacts/{maria['uuid']}", {"company": "New", "phone": None})
    assert (answer.status, answer.json) == (200, {**maria, "company": "New", "phone": None, "updated_at": TIME})
    assert answer.json["updated_at"] > maria["updated_at"]


def test_contacts_are_found_by_type_and_words(alice, bob, maria):
    john = create(alice, name="John", email="john@example.com", user_type="prospect", phone="555").json
    create(bob)
    assert ids(alice.api.get("/contacts")) == [john["id"], maria["id"]]
    assert ids(alice.api.get("/contacts?user_type=prospect")) == [john["id"]]
    assert ids(alice.api.get("/contacts?search=TEA+garc%C3%ADa")) == [maria["id"]]
    assert ids(alice.api.get("/contacts?search=555")) == [john["id"]]
    assert faults(alice.api.get("/contacts?user_type=friend")).keys() == {("query", "user_type")}


def test_charlie_sees_and_changes_none(alice, charlie, maria):
    for ref in (maria["id"], maria["uuid"]):
        with nothing_changes():
            missing = charlie.api.get(f"/contacts/{uuid4() if ref == maria['uuid'] else 4711}").json
            assert refused(charlie.api.get(f"/contacts/{ref}"), 404) == missing
            assert refused(charlie.api.patch(f"/contacts/{ref}", {"name": "Mine"}), 404) == missing
            assert refused(charlie.api.delete(f"/contacts/{ref}"), 404) == missing
            assert refused(charlie.api.get(f"/contacts/{ref}/timeline"), 404) == missing
    assert ids(charlie.api.get("/contacts")) == []


def test_deleting_one_deletes_its_calls_and_leaves_notes_and_tasks(alice, maria):
    of = {"contact_id": maria["id"]}
    when = {"scheduled_for": "2030-01-01T10:00:00Z"}
    call = alice.api.post("/calls", {"title": "Talk", **when, **of}).json["id"]
    note = alice.api.post("/notes", {"raw_text": "Said", **of}).json["id"]
    task = alice.api.post("/tasks", {"title": "Do", **of}).json["id"]
    assert ids(alice.api.get(f"/notes?contact_id={maria['id']}")) == [note]
    assert ids(alice.api.get(f"/tasks?contact_id={maria['uuid']}")) == [task]
    assert alice.api.delete(f"/contacts/{maria['id']}").status == 204
    refused(alice.api.get(f"/calls/{call}"), 404)
    assert alice.api.get(f"/notes/{note}").json["contact_id"] is None
    assert alice.api.get(f"/tasks/{task}").json["contact_id"] is None
    assert ids(alice.api.get(f"/notes?contact_id={maria['id']}")) == []
    assert ids(alice.api.get(f"/tasks?contact_id={maria['uuid']}")) == []


def test_notes_and_tasks_name_a_contact_of_ones_own_by_id_or_uuid(alice, bob, maria):
    for ref in (maria["id"], maria["uuid"]):
        assert alice.api.post("/notes", {"raw_text": "Said", "contact_id": ref}).json["contact_id"] == maria["id"]
        assert alice.api.post("/tasks", {"title": "Do", "contact_id": ref}).json["contact_id"] == maria["id"]
        with nothing_changes():
            for path, body in (("/notes", {"raw_text": "Said"}), ("/tasks", {"title": "Do"})):
                answer = bob.api.post(path, {**body, "contact_id": ref})
                assert faults(answer).keys() == {("body", "contact_id")}
    note = alice.api.get("/notes").json["results"][0]["id"]
    assert alice.api.patch(f"/notes/{note}", {"contact_id": None}).json["contact_id"] is None
    assert alice.api.patch(f"/notes/{note}", {"contact_id": maria["uuid"]}).json["contact_id"] == maria["id"]
    task = alice.api.get("/tasks").json["results"][0]["id"]
    assert alice.api.patch(f"/tasks/{task}", {"contact_id": None}).json["contact_id"] is None
    with nothing_changes():
        assert faults(alice.api.patch(f"/notes/{note}", {"contact_id": str(uuid4())})).keys() == {
            ("body", "contact_id")
        }


def test_merging_two_loses_nothing(alice, maria):
    other = create(alice, email="mg@example.com", name="M. García", company="Old", phone="2", notes="Once").json
    when = {"scheduled_for": "2030-01-01T10:00:00Z"}
    call = alice.api.post("/calls", {"title": "Talk", **when, "contact_id": other["id"]}).json["id"]
    note = alice.api.post("/notes", {"raw_text": "Said", "contact_id": other["id"]}).json["id"]
    task = alice.api.post("/tasks", {"title": "Do", "contact_id": other["id"]}).json["id"]
    merged = alice.api.post(f"/contacts/{maria['uuid']}/merge", {"contact_id": other["uuid"]})
    assert (merged.status, merged.json) == (200, {**maria, "updated_at": TIME})
    refused(alice.api.get(f"/contacts/{other['id']}"), 404)
    for path in (f"/calls/{call}", f"/notes/{note}", f"/tasks/{task}"):
        assert alice.api.get(path).json["contact_id"] == maria["id"]
    (kept,) = MergedContact.objects.all()
    assert (kept.contact_id, str(kept.uuid)) == (maria["id"], other["uuid"])
    assert kept.fields == {n: other[n] for n in ("name", "email", "company", "user_type", "phone", "notes")}
    third = create(alice, email="third@example.com").json
    assert alice.api.post(f"/contacts/{third['id']}/merge", {"contact_id": maria["id"]}).json["phone"] == "1"
    assert MergedContact.objects.filter(contact=third["id"]).count() == 2


def test_what_the_kept_one_leaves_empty_is_taken_from_the_other(alice, maria):
    empty = create(alice, email="mg@example.com").json
    merged = alice.api.post(f"/contacts/{empty['id']}/merge", {"contact_id": maria["id"]}).json
    assert (merged["phone"], merged["notes"], merged["email"]) == ("1", "Likes tea", "mg@example.com")


def test_two_with_one_e_mail_are_one_after_merging_them(alice, maria):
    second = create(alice, allow_duplicate=True).json
    assert alice.api.post(f"/contacts/{second['id']}/merge", {"contact_id": maria["id"]}).status == 200
    refused(create(alice), 409, "contacts.duplicate")
    assert Contact.objects.get().is_duplicate is False


def test_only_two_of_ones_own_are_merged(alice, bob, maria):
    theirs = create(bob).json
    with nothing_changes():
        for ref in (theirs["id"], theirs["uuid"], 4711, maria["id"], maria["uuid"]):
            answer = alice.api.post(f"/contacts/{maria['id']}/merge", {"contact_id": ref})
            assert faults(answer).keys() == {("body", "contact_id")}
        refused(alice.api.post(f"/contacts/{theirs['id']}/merge", {"contact_id": maria["id"]}), 404)


@contextmanager
def just_before(statement, *writes):
    """Begins the writes when a statement of this thread is to be run; their answers, when all is done."""
    answers = []
    with ThreadPoolExecutor(len(writes)) as pool:

        def run(write):
            try:
                return write()
            finally:
                connections.close_all()

        def attach_first(execute, sql, params, many, context):
            if sql.startswith(statement):
                running = [pool.submit(run, write) for write in writes]
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                eventually(lambda: sum(one.done() for one in running) + fetch(waiting)[0][0] >= len(writes))
                answers.extend(running)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(attach_first):
            yield answers
    answers[:] = [running.result() for running in answers]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("how", "statement"),
    [("merge", 'INSERT INTO "accounts_mergedcontact"'), ("delete", 'DELETE FROM "accounts_contact"')],
)
def test_what_would_refer_to_a_contact_that_goes_is_refused_and_never_lost(alice, maria, how, statement):
    other = create(alice, email="mg@example.com").json
    of, when = {"contact_id": other["id"]}, "2030-01-01T10:00:00Z"
    task = alice.api.post("/tasks", {"title": "Do", "contact_id": maria["id"]}).json["id"]
    with just_before(
        statement,
        lambda: alice.api.post("/calls", {"title": "Talk", "scheduled_for": when, **of}),
        lambda: alice.api.patch(f"/tasks/{task}", of),
        lambda: alice.api.post("/notes", {"raw_text": "Said", **of}),
    ) as answers:
        if how == "merge":
            assert alice.api.post(f"/contacts/{maria['id']}/merge", of).status == 200
        else:
            assert alice.api.delete(f"/contacts/{other['id']}").status == 204
    assert len(answers) == 3
    for answer in answers:
        assert "was removed meanwhile" in refused(answer, 409)["detail"]
    assert alice.api.get(f"/tasks/{task}").json["contact_id"] == maria["id"]
    assert ids(alice.api.get("/calls")) == ids(alice.api.get("/notes")) == []


def had(contact_id, emails):
    """As many contacts became part of this one."""
    rows = [
        MergedContact(contact_id=contact_id, uuid=uuid4(), fields=MARIA | {"email": email}, created_at=NOW)
        for email in emails
    ]
    MergedContact.objects.bulk_create(rows)


def test_a_contact_becomes_no_part_of_one_with_too_many_e_mails(alice, maria):
    last = create(alice, email="last@example.com").json
    one_more = create(alice, email="more@example.com").json
    had(maria["id"], [f"{n}@example.com" for n in range(MOST_EMAILS - 2)] + ["MARIA@example.com"] * 3)
    merge = f"/contacts/{maria['id']}/merge"
    assert alice.api.post(merge, {"contact_id": last["id"]}).status == 200
    with nothing_changes():
        refused(alice.api.post(merge, {"contact_id": one_more["id"]}), 409, "contacts.too_many_emails")
    again = create(alice, email="0@example.com").json
    assert alice.api.post(merge, {"contact_id": again["id"]}).status == 200
    assert alice.api.get(f"/contacts/{maria['id']}/timeline").status == 200
