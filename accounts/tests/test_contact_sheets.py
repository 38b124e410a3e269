"""Contacts as CSV: in again by their e-mails, all or none; out again, safe in spreadsheets."""

import csv
import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Contact
from accounts.tests.assertions import at_once, faults, nothing_changes, refused
from mesh.models import AuditEntry
from mesh.tests.growth_of_calls import exponent

HEADER = "name,email,company,user_type,phone,notes"
MARIA = {"name": "María García", "email": "maria@example.com", "company": "Azollon"}


def sent(person, sheet, **headers):
    """The answer to a sheet, sent as it is."""
    body = sheet if isinstance(sheet, bytes) else sheet.encode()
    return person.api.request("POST", "/contacts/import", body, Content_Type="text/csv", **headers)


def imported(person, sheet, **headers):
    """`(created, updated, unchanged)`."""
    answer = sent(person, sheet, **headers)
    assert answer.status == 200, answer
    assert answer.json.keys() == {"created", "updated", "unchanged"}
    return tuple(answer.json[name] for name in ("created", "updated", "unchanged"))


def exported(person):
    answer = person.api.get("/contacts/export")
    assert answer.status == 200, answer
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def create(person, **fields):
    answer = person.api.post("/contacts", MARIA | fields)
    assert answer.status == 201, answer
    return answer.json["id"]


def known(person):
    return sorted(Contact.objects.filter(owner=person.user).values_list(*HEADER.split(",")))


def test_a_sheet_creates_changes_and_leaves(alice):
    create(alice, phone="1", notes="Likes tea", user_type="partner")
    create(alice, name="John", email="john@example.com")
    sheet = (
        "phone,email,user_type,name,company,notes\n"
        ",MARIA@example.com,,,New,\n"
        "2,john@example.com,,,,\n"
        ',ann@Example.COM,prospect,Ann,Acme,"two\nlines"\n'
    )
    assert imported(alice, sheet) == (1, 2, 0)
    assert known(alice) == [
        ("Ann", "ann@example.com", "Acme", "prospect", None, "two\nlines"),
        ("John", "john@example.com", "Azollon", "client", "2", ""),
        ("María García", "maria@example.com", "New", "partner", "1", "Likes tea"),
    ]
    with nothing_changes():
        assert imported(alice, sheet) == (0, 0, 3)


def test_what_changes_is_dated_and_what_does_not_is_not(alice):
    changed, same = create(alice), create(alice, email="john@example.com")
    before = Contact.objects.get(pk=changed)
    Contact.objects.update(updated_at="2020-01-01T00:00:00Z")
    assert imported(alice, "email,name\nmaria@example.com,Other\njohn@example.com,María García\n") == (0, 1, 1)
    dates = dict(Contact.objects.values_list("pk", "updated_at__year"))
    assert (dates[changed] > 2020, dates[same]) == (True, 2020)
    after = Contact.objects.get(pk=changed)
    assert (after.uuid, after.created_at) == (before.uuid, before.created_at)


@pytest.mark.parametrize(
    "sheet",
    [
        "email,name,company\nä@example.com,Größe,Ö\n",
        "\ufeffemail;name;company\r\nä@example.com;Größe;Ö\r\n",
        "name,company,email\rGröße,Ö,ä@example.com",
        '"email" ,name, company\n\n" a\u0308@EXAMPLE.com ",Größe, Ö \n,,\n'.replace('" ,', '",'),
    ],
)
def test_sheets_are_read_however_spreadsheets_write_them(alice, sheet):
    assert imported(alice, sheet) == (1, 0, 0)
    assert known(alice) == [("Größe", "ä@example.com", "Ö", "client", None, "")]


NASTY = [
    {"name": "=1+1", "email": "+1@example.com", "company": "@sum", "phone": "+34 600", "notes": "-5\n=x"},
    {"name": "'=kept", "email": "=b@example.com", "company": "'", "user_type": "partner", "notes": "a\t\r\n-\r\n x"},
    {"name": 'a;b,c "d"', "email": "-c@example.com", "company": "中\U0001f600", "phone": "-"},
    {"name": "a\u2028b", "email": "d@example.com", "company": "D\x07", "notes": "@x\x0by"},
]


def test_what_is_exported_can_be_imported_again(alice, charlie):
    for fields in NASTY:
        create(alice, **fields)
    sheet = alice.api.get("/contacts/export").text
    with nothing_changes():
        assert imported(alice, sheet) == (0, 0, 4)
        assert imported(alice, sheet.replace("\r\n", "\n")) == (0, 0, 4)
    assert imported(charlie, sheet) == (4, 0, 0)
    assert known(charlie) == known(alice)
    assert charlie.api.get("/contacts/export").text == sheet


def test_a_cell_of_control_characters_is_no_name(alice):
    sheet = "email,name,company\na@example.com,\x07,A\x1c\n"
    said = "Text must not consist of blanks and control characters alone."
    with nothing_changes():
        assert faults(sent(alice, sheet)) == {("body", "csv", 2, "name"): said}


def test_no_cell_of_an_export_is_a_formula(alice):
    for fields in NASTY:
        create(alice, **fields)
    cells = [cell for row in exported(alice) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
    assert {"'=1+1", "'+1@example.com", "'@sum", "'+34 600", "''=kept", "'", "'-5\n'=x"} <= set(cells)


def test_an_export_is_a_file_of_ones_own_contacts(ada, alice, bob, anonymous):
    create(alice, user_type="partner", phone="1", notes="Tea")
    create(alice, name="Ann", email="ann@example.com")
    create(bob, name="Secret")
    answer = alice.api.get("/contacts/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="contacts.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    rows = [
        HEADER.split(","),
        ["María García", "maria@example.com", "Azollon", "partner", "1", "Tea"],
        ["Ann", "ann@example.com", "Azollon", "client", "", ""],
    ]
    assert answer.text == "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    assert exported(ada) == [HEADER.split(",")]
    refused(anonymous.get("/contacts/export"), 401)
    refused(anonymous.request("POST", "/contacts/import", b"email\n", Content_Type="text/csv"), 401)
    assert "".join(alice.mesh.contacts.export_contacts()) == answer.text


def test_fixed_paths_come_before_the_id_of_a_contact(alice):
    for path, allowed in (("export", "GET, HEAD, OPTIONS"), ("import", "POST, OPTIONS")):
        assert alice.api.request("OPTIONS", f"/contacts/{path}").headers["Allow"] == allowed
    refused(alice.api.delete("/contacts/export"), 405)
    refused(alice.api.get("/contacts/exports"), 404)


def test_all_errors_are_said_at_once_each_with_its_line_and_column(alice):
    create(alice)
    create(alice, email="Twice@example.com"), create(alice, email="twice@example.com", allow_duplicate=True)
    sheet = (
        f"{HEADER}\n"
        'Ann,ann@example.com,"two\nlines",friend,,\n'  # lines 2 and 3
        ",maria@example.com,,,,\n"
        "\n"
        "Ann,ANN@example.com,B,,1\n"
        "Ann,ANN@EXAMPLE.com,B,,,\n"
        f",no address,,,,{'x' * 501}\n"
        f"{'x' * 101},,B,,,\n"
        "Two,tWice@example.com,,,,\n"
        f"M,Maria@example.com,,,{'1' * 51},\n"
        f"N,new@example.com,,,,\n"
    )
    with nothing_changes():
        found = faults(sent(alice, sheet))
    email = found.pop(("body", "csv", 8, "email"))
    assert email.startswith("value is not a valid email address")
    assert found == {
        ("body", "csv", 2, "user_type"): "Input should be 'client', 'prospect' or 'partner'",
        ("body", "csv", 6): "A row has 6 cells, as the header has; here are 5.",
        ("body", "csv", 7, "email"): "Line 2 has this e-mail too.",
        ("body", "csv", 8, "name"): "Field required",
        ("body", "csv", 8, "company"): "Field required",
        ("body", "csv", 8, "notes"): "String should have at most 500 characters",
        ("body", "csv", 9, "name"): "String should have at most 100 characters",
        ("body", "csv", 9, "email"): "Field required",
        ("body", "csv", 10, "email"): "You have 2 contacts with this e-mail; merge them first.",
        ("body", "csv", 11, "email"): "Line 4 has this e-mail too.",
        ("body", "csv", 11, "phone"): "String should have at most 50 characters",
        ("body", "csv", 12, "company"): "Field required",
    }
    assert [place[2] for place in found] == sorted(place[2] for place in found)


def test_one_e_mail_in_two_spellings_is_one_line_too_many(alice):
    """A letter composed or not, and a domain as it is asked for, are the same address."""
    sheet = "email,name,company\nä@bücher.example,A,A\na\u0308@xn--bcher-kva.example,A,A\n"
    with nothing_changes():
        assert faults(sent(alice, sheet)) == {("body", "csv", 3, "email"): "Line 2 has this e-mail too."}


LOOKALIKES = ["İx@example.com", "ΑΣ@example.com", "ασς@example.com", "ẞ@example.com"]


def test_e_mails_are_known_again_as_the_database_compares_them(alice):
    """Python and Postgres have other small letters for some."""
    sheet = "email,name,company\n" + "".join(f"{email},A,A\n" for email in LOOKALIKES)
    assert imported(alice, sheet) == (4, 0, 0)
    cards = alice.api.get("/contacts/cards").text
    with nothing_changes():
        assert imported(alice, sheet) == (0, 0, 4)
        again = alice.api.request("POST", "/contacts/cards", cards.encode(), Content_Type="text/vcard")
        assert again.json == {"created": 0, "updated": 0, "unchanged": 4}
        told = faults(sent(alice, sheet + "ασ@example.com,A,A\nix@example.com,A,A\n"))
    assert told == {
        ("body", "csv", 6, "email"): "Line 3 has this e-mail too.",
        ("body", "csv", 7, "email"): "Line 2 has this e-mail too.",
    }


@pytest.mark.parametrize(
    ("sheet", "found"),
    [
        ("email,colour,price\na@example.com,red,1", {(1, "colour"), (1, "price")}),
        ("email,allow_duplicate\na@example.com,true", {(1, "allow_duplicate")}),
        ("email,name,email\nA,B,A", {(1, "email")}),
        ("name,company\nA,B", {(1,)}),
        ("", {()}),
        ("\n", {(1,)}),
        ('email,name\n"A,B\nC,D', {(2,)}),
        ("email,name\nA," + "x" * 131_073, {(2,)}),
        ("email\n" + "a@example.com\n" * 10_001, {()}),
        ("email,name\na@example.com,B\x00", {()}),
    ],
)
def test_what_is_no_sheet_of_contacts_is_refused(alice, sheet, found):
    with nothing_changes():
        told = faults(sent(alice, sheet))
    assert {place[2:] for place in told} >= found
    assert {place[:2] for place in told} == {("body", "csv")}
    assert "the columns are name, email, company" in str(told) or "colour" not in sheet


@pytest.mark.parametrize("header", ["," * 1_000_000, "email," + "name," * 190_000, "email" + ",x" * 60])
def test_a_header_of_far_too_many_names_is_one_error(alice, header):
    told = faults(sent(alice, header + "\na@example.com"))
    assert exponent(lambda size: sent(alice, header[:size] + "\na@example.com"), 250_000, 1_000_000) < 1.8
    names = header.count(",") + 1
    said = "The first line must name the columns, of name, email, company, user_type, phone, notes"
    assert told == {("body", "csv", 1): f"{said}; it has {names:,} cells."}


def test_a_row_of_far_too_many_cells_is_one_error(alice):
    told = faults(sent(alice, "email\n" + "x," * 500_000))
    assert told == {("body", "csv", 2): "A row has 1 cells, as the header has; here are 500001."}


def test_bytes_that_are_no_text_or_too_many_or_of_another_kind_are_refused(alice):
    with nothing_changes():
        assert "UTF-8" in refused(sent(alice, b"email,name\nA,\xff"), 400, "malformed")["detail"]
        said = refused(sent(alice, b"x" * (1024 * 1024 + 1)), 413, "too_large")["detail"]
        assert said == "A body may have 1048576 bytes at most."
        answer = alice.api.request("POST", "/contacts/import", b"email", Content_Type="text/plain")
        assert "text/csv" in refused(answer, 415)["detail"]


def test_contacts_of_others_are_neither_changed_nor_shown(alice, bob, ada):
    (
        create(bob, name="Bobs"),
        create(bob, email="two@example.com"),
        create(bob, email="two@example.com", allow_duplicate=True),
    )
    theirs = known(bob)
    assert imported(alice, f"{HEADER}\nMine,maria@example.com,Mine,,,\nTwo,two@example.com,Two,,,\n") == (2, 0, 0)
    assert imported(ada, "name,email,company\nAdas,maria@example.com,Hers\n") == (1, 0, 0)
    assert known(bob) == theirs
    assert [row[0] for row in known(alice)] == ["Mine", "Two"]
    with nothing_changes():
        answer = sent(alice, "email,name\nnew@example.com,\ntwo@example.com,=\nTWO@example.com,x\n")
        assert faults(answer).keys() == {
            ("body", "csv", 2, "name"), ("body", "csv", 2, "company"), ("body", "csv", 4, "email"),
        }  # fmt: skip
        assert "Bobs" not in answer.text


def test_one_of_two_that_is_left_is_changed_as_any_other(alice):
    first = create(alice)
    create(alice, allow_duplicate=True, name="Second")
    assert alice.api.delete(f"/contacts/{first}").status == 204
    assert imported(alice, "email,company\nmaria@example.com,New\n") == (0, 1, 0)
    assert known(alice) == [("Second", "maria@example.com", "New", "client", None, "")]


def test_a_dry_run_tells_what_would_happen(alice):
    create(alice)
    with nothing_changes():
        sheet = "email,name,company\nmaria@example.com,New,\nb@example.com,B,B\n"
        answer = sent(alice, sheet, Prefer="dry-run")
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "dry-run")
    assert answer.json["result"] == {"created": 1, "updated": 1, "unchanged": 0}


def test_json_and_tools_take_the_same_sheet(alice):
    sheet = "email,name,company\na@example.com,A,A\n"
    assert alice.api.post("/contacts/import", {"csv": sheet}).json == {"created": 1, "updated": 0, "unchanged": 0}
    tool = alice.api.post("/tools/import_contacts", {"arguments": {"csv": sheet}})
    assert tool.json == {"result": {"created": 0, "updated": 0, "unchanged": 1}}
    first, again = (sent(alice, sheet.replace("a@", "b@"), Idempotency_Key="k") for _ in range(2))
    assert (first.json, again.headers["Idempotent-Replay"]) == (again.json, "true")
    assert AuditEntry.objects.filter(operation="import_contacts", outcome="ok").count() == 3
    refused(alice.api.post("/tools/export_contacts", {"arguments": {}}), 404)


def sheet_of(many, company="A"):
    return "email,name,company,phone\n" + "".join(f"p{n}@example.com,Person {n},{company},{n}\n" for n in range(many))


def test_five_thousand_rows_take_a_handful_of_statements(alice):
    for sheet, done in (
        (sheet_of(5000), (5000, 0, 0)), (sheet_of(5000, "B"), (0, 5000, 0)), (sheet_of(5000, "B"), (0, 0, 5000)),
    ):  # fmt: skip
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert imported(alice, sheet) == done
        assert len(queries) <= 12, [query["sql"][:80] for query in queries]
    assert len(exported(alice)) == 5001


@pytest.mark.django_db(transaction=True)
def test_of_two_imports_of_one_sheet_at_once_the_second_finds_nothing_to_do(alice):
    rows = [f"p{n}@example.com,Person {n},A" for n in range(200)]
    sheets = ["\n".join(["email,name,company", *order]) for order in (rows, rows[::-1])] * 2
    answers = at_once(*[lambda sheet=sheet: sent(alice, sheet) for sheet in sheets])
    assert sorted(tuple(answer.json.values()) for answer in answers) == [(0, 0, 200)] * 3 + [(200, 0, 0)]
    assert Contact.objects.count() == 200


@pytest.mark.django_db(transaction=True)
def test_a_contact_that_is_made_during_an_import_is_there_once(alice):
    sheet = sheet_of(300)
    person = {"name": "Me", "email": "p299@example.com", "company": "Me"}
    answers = at_once(lambda: sent(alice, sheet), *[lambda: alice.api.post("/contacts", person)] * 4)
    assert {answer.status for answer in answers} <= {200, 201, 409}, answers
    assert Contact.objects.filter(email="p299@example.com").count() == 1
    assert Contact.objects.count() in (1, 300)
