"""Contacts as vCards: as phones, Outlook, Apple, Google and Nextcloud write them, and out again."""

import re

import pytest
import vobject

from accounts.models import Contact
from accounts.tests.assertions import at_once, faults, nothing_changes, refused
from accounts.tests.test_contact_sheets import HEADER, NASTY, create, known
from mesh.tests.growth_of_calls import exponent

MEDIA = "text/vcard; charset=utf-8"


def sent(person, cards, **headers):
    """The answer to a file, sent as it is."""
    body = cards if isinstance(cards, bytes) else cards.encode()
    return person.api.request("POST", "/contacts/cards", body, Content_Type=MEDIA, **headers)


def imported(person, cards, **headers):
    """`(created, updated, unchanged)`."""
    answer = sent(person, cards, **headers)
    assert answer.status == 200, answer
    return tuple(answer.json[name] for name in ("created", "updated", "unchanged"))


def card(*lines, version="3.0", end="\r\n"):
    return end.join(["BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD", ""])


def read(person, *lines, **options):
    """What is known of a contact, after its card was imported."""
    assert imported(person, card(*lines, **options)) == (1, 0, 0)
    return known(person)[0]


APPLE = """BEGIN:VCARD\r
VERSION:3.0\r
PRODID:-//Apple Inc.//iPhone OS 18.1//EN\r
N:García;María;;;\r
FN:María García\r
ORG:Azollon\\, S.A.;Sales;\r
EMAIL;type=INTERNET;type=HOME:private@example.com\r
item1.EMAIL;type=INTERNET;type=pref:maria@example.com\r
item1.X-ABLabel:_$!<Other>!$_\r
TEL;type=HOME;type=VOICE:555 1\r
TEL;type=CELL;type=VOICE;type=pref:+34 600 123 456\r
NOTE:Likes tea\\, not coffee\\;\\nC:\\\\New\r
item2.URL;type=pref:http\\://example.com\r
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAASABIAAD/4QBMRXhpZgAATU0AKgAA\r
 AAgAAgESAAMAAAABAAEAAIdpAAQAAAABAAAAJgAAAAAAAqACAAQ=\r
END:VCARD\r
"""

GOOGLE = """BEGIN:VCARD
VERSION:3.0
FN:María García
N:García;María;;Dr.;
EMAIL;TYPE=INTERNET;TYPE=WORK:maria@example.com
TEL;TYPE=CELL:+34 600 123 456
ORG:Azollon, S.A.
NOTE:Likes tea, not coffee;\\nC:\\\\New
CATEGORIES:Friends,myContacts
END:VCARD
"""

NEXTCLOUD = """BEGIN:VCARD\r
VERSION:4.0\r
UID:7a6c1d5e-0e53-4ac8-a8b2-fd4a2f6eaf5c\r
FN;PREF=1:María García\r
N:García;María;;;\r
ORG:Azollon\\, S.A.\r
EMAIL;TYPE="home,other";PREF=100:private@example.com\r
EMAIL;TYPE=WORK;PREF=2:maria@example.com\r
TEL;VALUE=uri;PREF=1;TYPE="voice,cell":tel:+34 600 123 456\r
TEL;TYPE=HOME:555 1\r
NOTE:Likes tea\\, not coffee\\;\\nC:\\\\N\r
 ew\r
CATEGORIES:Prospects,Prospect\r
PHOTO:data:image/jpeg;base64,/9j/4AAQSkZJRg==\r
GENDER:F\r
END:VCARD\r
"""

OUTLOOK = """BEGIN:VCARD\r
VERSION:2.1\r
N;LANGUAGE=es;CHARSET=Windows-1252;ENCODING=QUOTED-PRINTABLE:Garc=EDa;Mar=EDa\r
FN;CHARSET=Windows-1252;ENCODING=QUOTED-PRINTABLE:Mar=EDa Garc=EDa\r
ORG:Azollon, S.A.;Sales\r
TEL;WORK;VOICE:+34 600 123 456\r
NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:Likes tea,=\r
 not coffee;=0D=0A=\r
C:=5CNew\r
EMAIL;PREF;INTERNET:maria@example.com\r
PHOTO;TYPE=JPEG;ENCODING=BASE64:\r
 /9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAoHBwkHBgoJCAkLCwoMDxkQDw4ODx4WFxIZJCAm\r
 JiQgIyIoLTowKCs2KyIjMkQyNjs9QEBAJjBGS0U+Sjo/QD3/wAALCAABAAEBAREA\r
\r
X-MS-OL-DEFAULT-POSTAL-ADDRESS:0\r
REV:20260101T000000Z\r
END:VCARD\r
"""


@pytest.mark.parametrize(
    ("cards", "company", "user_type"),
    [
        (APPLE, "Azollon, S.A.", "client"), (GOOGLE, "Azollon, S.A.", "client"),
        (NEXTCLOUD, "Azollon, S.A.", "prospect"), (OUTLOOK, "Azollon, S.A.", "client"),
    ],
    ids=["apple", "google", "nextcloud", "outlook"],
)  # fmt: skip
def test_cards_are_read_as_others_write_them(alice, cards, company, user_type):
    notes = "Likes tea, not coffee;\nC:\\New"
    maria = ("María García", "maria@example.com", company, user_type, "+34 600 123 456", notes)
    assert imported(alice, cards) == (1, 0, 0)
    (found,) = known(alice)
    assert tuple(part and part.replace("\r\n", "\n") for part in found) == maria
    with nothing_changes():
        assert imported(alice, cards) == (0, 0, 1)
        assert imported(alice, f"\ufeff{cards}\n\n") == (0, 0, 1)
        for end in ("\n", "\r\n", "\r"):
            assert imported(alice, re.sub("\r?\n", end, cards)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("lines", "field", "value"),
    [
        (["N:García Pérez;María,José;de la;Dr.;PhD"], 0, "Dr. María José de la García Pérez PhD"),
        (["FN:", "N:García\\, S.;María"], 0, "María García, S."),
        (["fn:Doe, John; Jr."], 0, "Doe, John; Jr."),
        (["FN:Other", "FN;PREF=1:First"], 0, "First"),
        (["item1.FN;LANGUAGE=\"a:b;c\";X=Y:A"], 0, "A"),
        (["FN:A", "ORG:;Sales;West"], 2, "Sales"),
        (["FN:A", "ORG:A\\;B\\\\;C"], 2, "A;B\\"),
        (["FN:A", "ORG:;"], 2, "example.com"),
        (["FN:A"], 2, "example.com"),
        (["FN:A", "CATEGORIES:VIP, PARTNER ,client"], 3, "partner"),
        (["FN:A", "CATEGORIES:VIP", "CATEGORIES:prospect"], 3, "prospect"),
        (["FN:A", "CATEGORIES:a\\,client"], 3, "client"),
        (["FN:A", "TEL:", "TEL;TYPE=HOME:1", "TEL:2"], 4, "1"),
        (["FN:A", "TEL;TYPE=HOME:1", "TEL;TYPE=CELL,pref:2"], 4, "2"),
        (["FN:A", "TEL;PREF=50:1", 'TEL;TYPE="cell,PREF";X=1:2', "TEL;PREF=1000:3"], 4, "2"),
        (["FN:A", "TEL;VALUE=uri:TEL:+1-555;ext=7"], 4, "+1-555;ext=7"),
        (["FN:A", "TEL;WORK;ENCODING=QUOTED-PRINTABLE:=2B1"], 4, "+1"),
        (["FN:A", "NOTE:One", "NOTE:Two"], 5, "One\nTwo"),
        (["FN:A", "NOTE:a\\n\\Nb\\:c\\"], 5, "a\n\nb:c\\"),
        (["FN:A", "NOTE:one", " two", "\tthree", "  four"], 5, "onetwothree four"),
        (["FN:A", "NOTE:https://example.com/?a=b;c=d"], 5, "https://example.com/?a=b;c=d"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["3.0", "4.0"])
def test_properties_become_fields(alice, lines, field, value, version):
    assert read(alice, *lines, "EMAIL:maria@example.com", version=version)[field] == value


@pytest.mark.parametrize(
    ("lines", "email"),
    [
        (["EMAIL:First@Example.com", "EMAIL:second@example.com"], "First@example.com"),
        (["EMAIL: ", "EMAIL:second@example.com"], "second@example.com"),
        (["EMAIL:first@example.com", "EMAIL;TYPE=INTERNET,PREF:second@example.com"], "second@example.com"),
        (["EMAIL:first@example.com", "EMAIL;INTERNET;PREF:second@example.com"], "second@example.com"),
        (["EMAIL;PREF=2:first@example.com", "EMAIL;PREF=1:second@example.com"], "second@example.com"),
    ],
)
def test_of_several_e_mails_the_preferred_one_counts(alice, lines, email):
    assert read(alice, "FN:A", *lines)[1] == email


def test_a_card_changes_what_it_says_and_nothing_else(alice):
    create(alice, phone="1", notes="Tea", user_type="partner")
    with nothing_changes():
        assert imported(alice, card("EMAIL:MARIA@example.com")) == (0, 0, 1)
        assert imported(alice, card("EMAIL:maria@example.com", "FN:", "ORG:;;", "TEL:", "NOTE: ")) == (0, 0, 1)
    assert imported(alice, card("FN:New", "EMAIL:Maria@example.com", "CATEGORIES:client")) == (0, 1, 0)
    assert known(alice) == [("New", "maria@example.com", "Azollon", "client", "1", "Tea")]


def test_all_errors_are_said_at_once_each_with_its_card_and_property(alice):
    create(alice)
    create(alice, email="two@example.com"), create(alice, email="two@example.com", allow_duplicate=True)
    cards = (
        card("FN:Ann", "EMAIL:ann@example.com")
        + card("FN:No Mail", f"NOTE:{'x' * 501}", f"TEL:{'1' * 51}")
        + card(f"FN:{'x' * 101}", "EMAIL:ANN@example.com", f"ORG:{'x' * 101}")
        + card("FN:Two", "EMAIL:Two@example.com")
        + card("EMAIL:nobody")
        + card("FN:Maria", "EMAIL:maria@example.com", "nothing", "X-OTHER", "NOTE;ENCODING=QUOTED-PRINTABLE:=FF")
        + card("FN:Q", "EMAIL:q@example.com", "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=ROT13:a")
        + card("FN:Q", "EMAIL:q2@example.com", "TEL;QUOTED-PRINTABLE;CHARSET=ISO-8859-12:a", "PHOTO;ENCODING=b:!")
    )
    with nothing_changes():
        found = faults(sent(alice, cards))
    address = found.pop(("body", "vcard", 5, "EMAIL"))
    assert address.startswith("value is not a valid email address")
    charset = "It is not valid in its charset, or that is not known."
    assert found == {
        ("body", "vcard", 2, "EMAIL"): "No Mail: Field required",
        ("body", "vcard", 2, "NOTE"): "No Mail: String should have at most 500 characters",
        ("body", "vcard", 2, "TEL"): "No Mail: String should have at most 50 characters",
        ("body", "vcard", 3, "EMAIL"): "Card 1 has this e-mail too.",
        ("body", "vcard", 3, "FN"): f"{'x' * 100}: String should have at most 100 characters",
        ("body", "vcard", 3, "ORG"): f"{'x' * 100}: String should have at most 100 characters",
        ("body", "vcard", 4, "EMAIL"): "You have 2 contacts with this e-mail; merge them first.",
        ("body", "vcard", 5, "FN"): "Field required",
        ("body", "vcard", 6): "A line is no property: nothing",
        ("body", "vcard", 6, "NOTE"): charset,
        ("body", "vcard", 7, "NOTE"): charset,
        ("body", "vcard", 8, "TEL"): charset,
    }
    assert [place[2] for place in found] == sorted(place[2] for place in found)


OPEN = "BEGIN:VCARD\nFN:A\nEMAIL:a@example.com\n"
ELSE = "A card stands between BEGIN:VCARD and END:VCARD; {} is something else."


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ("\n \n", {(): "There is no card in it: a card begins with BEGIN:VCARD."}),
        ("\ufeff", {(): "There is no card in it: a card begins with BEGIN:VCARD."}),
        ("name,email\nA,B\n", {(): ELSE.format("at the beginning")}),
        ("END:VCARD\n" + card("FN:A", "EMAIL:a@example.com"), {(): ELSE.format("at the beginning")}),
        (f"{OPEN}END:VCARD\nFN:B\nEMAIL:b\n", {(): ELSE.format("after card 1")}),
        (OPEN, {(1,): "The card has no END:VCARD."}),
        (OPEN + OPEN.replace("a@", "b@") + "END:VCARD", {(1,): "The card has no END:VCARD."}),
        (f"{OPEN}NOTE;ENCODING=QUOTED-PRINTABLE:a=\nEND:VCARD\n", {(1,): "The card has no END:VCARD."}),
        (f"{OPEN}NOTE:a\nb\nEND:VCARD\n", {(1,): "A line is no property: b"}),
        (f"{OPEN}a.b.EMAIL:x\nEND:VCARD\n", {(1,): "A line is no property: a.b.EMAIL:x"}),
        (f'{OPEN}NOTE;X="a:b\nEND:VCARD\n', {(1,): 'A line is no property: NOTE;X="a:b'}),
        (f"{OPEN}NOTE:\0\nEND:VCARD\n", {(): "Text must not contain the NUL character."}),
        (
            f"{OPEN}NOTE;ENCODING=QUOTED-PRINTABLE:=00\nEND:VCARD\n",
            {(1, "NOTE"): "A: Text must not contain the NUL character."},
        ),
        (
            f"{OPEN}END:VCARD\n" + "BEGIN:VCARD\nEND:VCARD\n" * 10_000,
            {(): "A file may have 10,000 cards at most. Send it in parts."},
        ),
    ],
)
def test_what_are_no_cards_is_refused(alice, cards, found):
    with nothing_changes():
        told = faults(sent(alice, cards))
    assert {place[:2] for place in told} == {("body", "vcard")}
    assert {place[2:]: said for place, said in told.items()}.items() >= found.items()
    assert len(told) == len(found) or "10,000" in str(found)


def test_bytes_that_are_no_text_or_too_many_or_of_another_kind_are_refused(alice):
    with nothing_changes():
        assert "UTF-8" in refused(sent(alice, card("FN:\xe4").encode("latin-1")), 400, "malformed")["detail"]
        said = refused(sent(alice, b"x" * (1024 * 1024 + 1)), 413, "too_large")["detail"]
        assert said == "A body may have 1048576 bytes at most."
        answer = alice.api.request("POST", "/contacts/cards", b"BEGIN:VCARD", Content_Type="text/csv")
        assert "text/vcard" in refused(answer, 415)["detail"]
        assert faults(sent(alice, b"")).keys() == {("body", "vcard")}


MOST = 500_000


@pytest.mark.parametrize(
    "cards",
    [
        "TEL" + ";a" * (MOST // 2) + "\x01",
        "TEL" + ";TYPE=a" * (MOST // 7) + ":1",
        'TEL;a="' + 'b"c"' * (MOST // 4),
        'TEL;a=' + '"' * MOST,
        "a-" * (MOST // 2),
        "NOTE;QUOTED-PRINTABLE" + "=\n=" * (MOST // 3),
        "NOTE;QUOTED-PRINTABLE:" + "=\n" * (MOST // 2),
        "NOTE:" + "\n \\;" * (MOST // 4),
        "ORG:" + ";" * MOST,
        "N:" + "\\" * MOST,
        "N:" + ",;" * (MOST // 2),
        "CATEGORIES:" + "\\,," * (MOST // 3),
        "TEL;PREF=" + "9" * MOST + ":1",
        "\n".join(["EMAIL:x"] * (MOST // 8)),
        "\n".join("ab" for _ in range(MOST // 3)),
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_time_grows_no_faster_than_a_line(alice, cards):
    def send(size):
        answer = sent(alice, card("FN:A", "EMAIL:a@example.com", cards[:size], end="\n"))
        assert answer.status in (200, 422)

    assert exponent(send, MOST // 4, MOST) < 1.8


def test_contacts_of_others_are_neither_changed_nor_shown(ada, alice, bob, anonymous):
    theirs = create(bob, name="Bobs")
    before = known(bob)
    assert imported(alice, card("FN:Mine", "EMAIL:maria@example.com")) == (1, 0, 0)
    assert imported(ada, card("FN:Adas", "EMAIL:maria@example.com")) == (1, 0, 0)
    assert known(bob) == before
    assert "Bobs" not in alice.api.get("/contacts/cards").text
    assert alice.api.get("/contacts/cards").text.count("BEGIN:VCARD") == 1
    assert ada.api.get("/contacts/cards").text.count("BEGIN:VCARD") == 1
    for ref in (theirs, Contact.objects.get(pk=theirs).uuid):
        assert refused(alice.api.get(f"/contacts/{ref}/vcard"), 404) == refused(alice.api.get("/contacts/9/vcard"), 404)
        assert "FN:Bobs" in ada.api.get(f"/contacts/{ref}/vcard").text
    for path in ("cards", f"{theirs}/vcard"):
        refused(anonymous.get(f"/contacts/{path}"), 401)


def test_a_card_is_written_as_others_read_it(alice):
    made = create(
        alice,
        name="García, María",
        company="A; B\\N",
        phone="+34 600",
        notes="Tea\r\nand\x07 more",
        user_type="partner",
    )
    contact = Contact.objects.get(pk=made)
    answer = alice.api.get(f"/contacts/{made}/vcard")
    assert answer.headers["Content-Type"] == MEDIA
    assert answer.text.split("\r\n") == [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "PRODID:-//Meshwork//Contacts//EN",
        f"UID:urn:uuid:{contact.uuid}",
        "FN:García\\, María",
        "N:;García\\, María;;;",
        "ORG:A\\; B\\\\N",
        "CATEGORIES:partner",
        "EMAIL;TYPE=INTERNET:maria@example.com",
        "TEL;TYPE=VOICE:+34 600",
        "NOTE:Tea\\nand more",
        f"REV:{contact.updated_at:%Y%m%dT%H%M%SZ}",
        "END:VCARD",
        "",
    ]
    assert alice.api.get(f"/contacts/{contact.uuid}/vcard").text == answer.text
    assert alice.api.get(f"/contacts/{made}/vcard", If_None_Match=answer.headers["ETag"]).status == 304


def test_another_program_reads_what_is_written(alice):
    for fields in [
        *NASTY,
        {"name": "M" * 100, "email": "l@example.com", "notes": "中\U0001f600, " * 100, "phone": "1"},
    ]:
        create(alice, **fields)
    text = alice.api.get("/contacts/cards").text
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    found = list(vobject.readComponents(text))
    for theirs, mine in zip(found, Contact.objects.order_by("pk"), strict=True):
        theirs.validate(raiseException=True)
        told = {name: properties[0].value for name, properties in theirs.contents.items()}
        said = {"fn": mine.name, "email": mine.email, "tel": mine.phone, "note": mine.notes or None}
        for name, value in said.items():
            clean = value and re.sub("[\x00-\x08\x0b-\x1f]", "", value.replace("\r\n", "\n"))
            assert told.get(name) == clean, name
        assert told["uid"] == f"urn:uuid:{mine.uuid}"
        assert told["org"] == [mine.company.replace("\x07", "")]
        assert told["categories"] == [mine.user_type]


def test_what_is_exported_can_be_imported_again(alice, charlie):
    for fields in [
        *NASTY,
        {"name": "\\n\\,;", "email": "e@example.com", "company": ";,\\", "notes": "BEGIN:VCARD\n x"},
    ]:
        create(alice, **fields)
    text = alice.api.get("/contacts/cards").text
    with nothing_changes():
        assert imported(alice, text) == (0, 0, 5)
        for contact in Contact.objects.all():
            assert imported(alice, alice.api.get(f"/contacts/{contact.pk}/vcard").text) == (0, 0, 1)
    assert imported(charlie, text) == (5, 0, 0)
    again = charlie.api.get("/contacts/cards").text
    assert re.sub("(UID|REV):.*", "", again) == re.sub("(UID|REV):.*", "", text)
    with nothing_changes():
        assert imported(alice, again) == (0, 0, 5)


def test_a_file_of_all_is_streamed(alice):
    create(alice), create(alice, email="second@example.com")
    answer = alice.api.get("/contacts/cards")
    assert answer.headers["Content-Type"] == MEDIA
    assert answer.headers["Content-Disposition"] == 'attachment; filename="contacts.vcf"'
    assert [line for line in answer.text.split("\r\n") if line.startswith("EMAIL")] == [
        "EMAIL;TYPE=INTERNET:maria@example.com", "EMAIL;TYPE=INTERNET:second@example.com",
    ]  # fmt: skip
    head = alice.api.request("HEAD", "/contacts/cards")
    assert (head.status, head.text) == (200, "")
    assert alice.api.request("OPTIONS", "/contacts/cards").headers["Allow"] == "POST, GET, HEAD, OPTIONS"


def test_who_has_no_contacts_gets_an_empty_file(alice):
    assert (alice.api.get("/contacts/cards").status, alice.api.get("/contacts/cards").text) == (200, "")


def test_json_tools_and_dry_runs_take_the_same_cards(alice):
    cards = card("FN:A", "EMAIL:a@example.com")
    with nothing_changes():
        tried = sent(alice, cards, Prefer="dry-run").json["result"]
        assert tried == {"created": 1, "updated": 0, "unchanged": 0}
    assert alice.api.post("/contacts/cards", {"vcard": cards}).json == {"created": 1, "updated": 0, "unchanged": 0}
    tool = alice.api.post("/tools/import_cards", {"arguments": {"vcard": cards}})
    assert tool.json == {"result": {"created": 0, "updated": 0, "unchanged": 1}}


def test_five_thousand_cards_are_read_and_written(alice):
    cards = "".join(
        card(f"FN:Person {n}", f"EMAIL:p{n}@example.com", f"TEL:{n}", "ORG:A", end="\n") for n in range(5000)
    )
    assert imported(alice, cards) == (5000, 0, 0)
    assert imported(alice, cards.replace("ORG:A", "ORG:B")) == (0, 5000, 0)
    text = alice.api.get("/contacts/cards").text
    assert (text.count("BEGIN:VCARD"), text.count("ORG:B")) == (5000, 5000)


@pytest.mark.django_db(transaction=True)
def test_of_two_imports_at_once_the_second_finds_nothing_to_do(alice):
    cards = [card(f"FN:Person {n}", f"EMAIL:p{n}@example.com") for n in range(100)]
    files = ["".join(cards), "".join(reversed(cards))]
    answers = at_once(*[lambda file=file: sent(alice, file) for file in files])
    assert sorted(tuple(answer.json.values()) for answer in answers) == [(0, 0, 100), (100, 0, 0)]
    assert Contact.objects.count() == 100


def test_cards_and_sheets_say_the_same(alice, charlie):
    for fields in NASTY:
        create(alice, **fields)
    cards = alice.api.get("/contacts/cards").text
    assert imported(charlie, cards) == (4, 0, 0)
    sheet = alice.api.get("/contacts/export").text.encode()
    assert sheet.decode().splitlines()[0] == ",".join(f'"{name}"' for name in HEADER.split(","))
    answer = charlie.api.request("POST", "/contacts/import", sheet, Content_Type="text/csv")
    assert answer.json["created"] == 0
