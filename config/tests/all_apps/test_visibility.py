"""`visible_to` and `audience` say the same of every row of every table, in random worlds."""

import random

import pytest
from django.apps import apps
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.models import ApiKey, ClosedAddress, Contact, Session, UnwantedMail, User
from conftest import make_person
from events.models import Category, Event, Registration
from meetings.models import Call, Invitee, Meeting
from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.rows.visibility import MeshModel, MeshQuerySet, statement_for_ids, visible_rows
from mesh.stores.postgres import fetch
from mesh.testing import visibility_mismatches
from mesh.tests.example.models import Thing
from notes.models import ActionItem, Note
from shop.models import Order, Product
from tasks.models import Project, Task

MODELS = sorted(
    (m for m in apps.get_models() if issubclass(m, MeshModel) and m is not Thing), key=lambda model: model._meta.label
)
each_model = pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])

#: What everyone sees all of.
OPEN = {Category}
each_that_not_all_see = pytest.mark.parametrize(
    "model", [m for m in MODELS if m not in OPEN], ids=[m._meta.label for m in MODELS if m not in OPEN]
)

#: Whose rows even an ADMIN reads only of their own: what is about signing in.
PRIVATE = {ApiKey, ClosedAddress, Session, UnwantedMail}


def populate(seed: int) -> list[Actor]:
    """A random company: who invited whom, and rows of all kinds. Everyone in it, and a stranger."""
    dice = random.Random(seed)
    users = [make_person(f"user{number}").user for number in range(8)]
    stranger = make_person("stranger").user
    for user in users[1:]:
        if dice.random() < 0.4:
            user.invited_by = dice.choice(users)
            user.save(update_fields=["invited_by"])
    maybe = [None, *users]
    meetings = []
    for number in range(dice.randrange(1, 6)):
        meeting = Meeting.objects.create(
            organizer=dice.choice(users), title=f"Meeting {number}", scheduled_time=timezone.now()
        )
        meeting.invite([user.pk for user in dice.sample(users, dice.randrange(3))], [f"guest{number}@example.com"])
        meetings.append(meeting)
    projects = [Project.objects.create(owner=dice.choice(users), title=f"Project {n}") for n in range(3)]
    for number in range(dice.randrange(2, 9)):
        Task.objects.create(
            creator=dice.choice(users),
            assignee=dice.choice(maybe),
            project=dice.choice([None, *projects]),
            due_meeting=dice.choice([None, *meetings]),
            title=f"Task {number}",
        )
    for number in range(4):
        note = Note.objects.create(author=dice.choice(users), raw_text=f"Note {number}", meeting=dice.choice(meetings))
        ActionItem.objects.create(note=note, title="Item", quote="Quote", task=None)
        UnwantedMail.objects.get_or_create(email=users[number].email, kind="responses")
        ClosedAddress.objects.get_or_create(email=users[number].email)
        ApiKey.objects.issue(user=users[number], name="Key", scopes=["read"])
    for number in range(4):
        product = Product.objects.create(
            owner=dice.choice(users),
            sku=f"SKU {seed} {number}",
            name=f"Product {number}",
            price_cents=1,
            archived_at=timezone.now() if number % 2 else None,
        )
        product.movements.create(kind="received", quantity=1)
        order = Order.objects.create(buyer=dice.choice(users), total_cents=1)
        order.lines.create(product=product, sku=product.sku, name=product.name, quantity=1, price_cents=1)
        order.payments.create(provider="stripe", amount_cents=1, currency="eur")
    for number in range(4):
        person = {"name": "Contact", "email": f"contact{number}-{seed}@example.com", "company": "Company"}
        contact = Contact.objects.create(owner=dice.choice(users), **person)
        Call.objects.create(contact=contact, title="Call", scheduled_for=timezone.now())
    category = Category.objects.create(creator=dice.choice(users), name=f"Category {seed}")
    now = timezone.now()
    for number in range(5):
        event = Event.objects.create(
            owner=dice.choice(users),
            name=f"Event {number}",
            category=dice.choice([None, category]),
            start_date=now,
            end_date=now,
            deleted_at=now if number == 4 else None,
        )
        for guest in range(dice.randrange(1, 4)):
            person = {"name": "Guest", "email": f"guest{guest}@example.com", "phone": None}
            Registration.objects.add(event, registrar_id=dice.choice(users).pk, status="registered", **person)
    return [Actor(user.pk, "AGENT") for user in [*users, stranger]]


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_of_every_scope_agree_in_a_random_company(db, seed):
    actors = populate(seed)
    for model in MODELS:
        assert model._base_manager.exists(), f"populate() makes no {model._meta.label}: add some"
        assert visibility_mismatches(model, actors) == []
        assert visibility_mismatches(model, [ANONYMOUS]) == []


@each_model
def test_a_scope_shows_something_to_some_and_not_all_to_all(db, model):
    actors = populate(3)
    seen = [model._default_manager.all().visible_to(actor).count() for actor in actors]
    assert max(seen) > 0
    assert (min(seen) < model._base_manager.count()) == (model not in OPEN)


@each_model
def test_the_admin_sees_every_row(ada, model):
    populate(5)
    UnwantedMail.objects.create(email=ada.user.email, kind="responses")
    ClosedAddress.objects.create(email=ada.user.email)
    ApiKey.objects.issue(user=ada.user, name="Key", scopes=["read"])
    seen = model._default_manager.all().visible_to(ada.actor)
    expected = {
        row.pk
        for row in model._base_manager.all()
        if (ada.actor.cache_tag in row.audience() if model in PRIVATE else row.audience())
    }
    assert {row.pk for row in seen} == expected
    assert expected


@each_model
def test_nobody_who_is_not_signed_in_sees_a_row(db, model):
    populate(5)
    for row in model._default_manager.all().visible_to(ANONYMOUS):
        assert row.audience() & {"products", "categories", "events"}
    assert bool(model._default_manager.all().visible_to(ANONYMOUS)) == (model in (Product, Category, Event))


@pytest.mark.parametrize("seed", range(3))
def test_the_compiled_scope_of_an_actor_is_the_queryset_also_when_rows_come_later(db, seed):
    actors = [*populate(seed), ANONYMOUS]
    for round in (1, 2):
        for model in MODELS:
            for actor in actors:
                statement, params = statement_for_ids(visible_rows(model, actor))
                compiled = {pk for (pk,) in fetch(statement, params)} if statement else set()
                rows = model._default_manager.all().visible_to(actor)
                assert compiled == set(rows.values_list("pk", flat=True))
                some = set(visible_rows(model, actor).exclude(pk=min(compiled, default=0)).values_list("pk", flat=True))
                assert some == compiled - {min(compiled, default=0)}
        if round == 1:
            User.objects.update(email=Concat(Value("before-"), "email"))
            populate(seed + 100)


@each_model
def test_an_audience_that_forgets_its_people_is_found(db, model, monkeypatch):
    actors = populate(7)
    monkeypatch.setattr(model, "audience", lambda row: set())
    assert any("sees it, but is not in its audience" in found for found in visibility_mismatches(model, actors))


@each_that_not_all_see
def test_an_audience_that_is_too_wide_is_found(db, model, monkeypatch):
    actors = populate(7)
    everyone = {actor.cache_tag for actor in actors}
    monkeypatch.setattr(model, "audience", lambda row: everyone)
    assert any("is in its audience, but does not see it" in found for found in visibility_mismatches(model, actors))


@each_that_not_all_see
def test_a_queryset_that_shows_everything_is_found(db, model, monkeypatch):
    actors = populate(7)
    monkeypatch.setattr(type(model._default_manager.all()), "visible_to", lambda rows, actor: rows)
    stranger = actors[-1]
    assert any(f"{stranger.cache_tag} sees it" in found for found in visibility_mismatches(model, [stranger]))


def test_a_queryset_without_a_rule_shows_nothing(ada, alice):
    rows = MeshQuerySet(model=User)
    assert User.objects.count() == 2
    assert list(rows.visible_to(ada.actor)) == []
    assert list(rows.visible_to(alice.actor)) == []


def test_one_attendee_more_or_less_moves_both_sides(alice, bob):
    meeting = Meeting.objects.create(organizer=alice.user, title="Plan", scheduled_time=timezone.now())
    assert (meeting.audience(), list(Meeting.objects.all().visible_to(bob.actor))) == ({alice.actor.cache_tag}, [])
    Invitee.objects.create(meeting=meeting, user=bob.user)
    assert meeting.audience() == {alice.actor.cache_tag, bob.actor.cache_tag}
    assert list(Meeting.objects.all().visible_to(bob.actor)) == [meeting]
    assert visibility_mismatches(Meeting, [alice.actor, bob.actor]) == []
