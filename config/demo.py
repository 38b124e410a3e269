"""A small company to look at: what `./run manage demo` makes, so that every page and endpoint has something to show.

Times are in days and hours from now.
"""

from typing import Any

ADMIN = ("ada@demo.example", "Ada Lovelace")
PEOPLE = {
    "alice@demo.example": "Alice Adams",
    "bob@demo.example": "Bob Brown",
    "carol@demo.example": "Carol Clark",
}
ALICE, BOB, CAROL = PEOPLE

PROJECTS = {ALICE: ["Website relaunch", "Summer fair"], BOB: ["Warehouse move"]}

#: organizer, title, day, hour, minutes, location, colleagues, guests
MEETINGS: list[tuple[str, str, int, int, int, str, list[str], list[str]]] = [
    (ALICE, "Sprint planning", -7, 9, 60, "Room 2", [BOB, CAROL], []),
    (ALICE, "Website: first drafts", -2, 14, 45, "Room 1", [BOB], ["maria@azollon.example"]),
    (BOB, "Warehouse walk-through", -1, 10, 90, "Dock 3", [ALICE], []),
    (ALICE, "Sprint review", 1, 9, 60, "Room 2", [BOB, CAROL], []),
    (CAROL, "Budget for autumn", 3, 11, 30, "", [ALICE], ["finance@northwind.example"]),
    (BOB, "Forklift training", 6, 8, 120, "Dock 1", [CAROL], []),
]

#: owner, name, email, company, type, phone, notes
CONTACTS: list[tuple[str, str, str, str, str, str | None, str]] = [
    (
        ALICE,
        "María García",
        "maria@azollon.example",
        "Azollon",
        "client",
        "+34 600 123 456",
        "Prefers calls in the morning.",
    ),
    (ALICE, "John Miller", "john@northwind.example", "Northwind", "prospect", None, "Met at the fair in May."),
    (ALICE, "Aiko Tanaka", "aiko@sakura.example", "Sakura Print", "partner", "+81 3 1234 5678", ""),
    (BOB, "Lena Weber", "lena@weber.example", "Weber Logistik", "partner", "+49 30 901820", "Trucks until 16:00."),
    (BOB, "Omar Haddad", "omar@haddad.example", "Haddad & Sons", "client", None, ""),
    (CAROL, "Sofia Rossi", "sofia@rossi.example", "Rossi Moda", "client", "+39 02 1234", "Ordered twice last year."),
]

#: owner, contact, title, day, hour, minutes, status, notes
CALLS: list[tuple[str, str, str, int, int, int, str, str]] = [
    (ALICE, "maria@azollon.example", "Onboarding", -9, 10, 45, "completed", "Wants the new site before the fair."),
    (ALICE, "maria@azollon.example", "Follow-up on the drafts", 1, 10, 30, "scheduled", ""),
    (ALICE, "john@northwind.example", "First talk", -3, 15, 30, "cancelled", "He was ill."),
    (ALICE, "john@northwind.example", "First talk, again", 2, 15, 30, "rescheduled", ""),
    (BOB, "lena@weber.example", "Prices for the move", 0, 3, 30, "scheduled", ""),
    (CAROL, "sofia@rossi.example", "Autumn collection", 4, 9, 60, "scheduled", ""),
]

#: author, meeting or None, contact or None, text
NOTES: list[tuple[str, str | None, str | None, str]] = [
    (
        ALICE,
        "Website: first drafts",
        "maria@azollon.example",
        "María liked the second draft best; the header is too dark for her. We decided to keep the logo on the left. "
        "Bob will send the corrected drafts by Friday. María will write the texts for the team page. "
        "I will ask Aiko for a price for 500 brochures.",
    ),
    (
        ALICE,
        "Sprint planning",
        None,
        "We plan the relaunch for the first week of next month. Carol will prepare the newsletter. "
        "Bob will test the shop on phones until Thursday. The old site stays online for two weeks.",
    ),
    (
        BOB,
        "Warehouse walk-through",
        None,
        "Dock 3 needs new lights. Alice will call the electrician tomorrow. I will order 40 shelves. "
        "Moving day is the last Saturday of the month.",
    ),
    (
        CAROL,
        None,
        "sofia@rossi.example",
        "Sofia wants 300 scarves with her logo. I will send an offer by Monday. She pays within 14 days.",
    ),
]

#: creator, title, project or None, assignee or None, contact or None, day it is due or None, status
TASKS: list[tuple[str, str, str | None, str | None, str | None, int | None, str]] = [
    (ALICE, "Choose the photos", "Website relaunch", BOB, "maria@azollon.example", 2, "in_progress"),
    (ALICE, "Write the imprint", "Website relaunch", None, None, -1, "todo"),
    (ALICE, "Book a band", "Summer fair", CAROL, None, 9, "todo"),
    (ALICE, "Renew the domain", None, None, None, 20, "done"),
    (BOB, "Measure the doors", "Warehouse move", None, "lena@weber.example", 1, "todo"),
    (BOB, "Sell the old shelves", "Warehouse move", None, None, None, "cancelled"),
    (CAROL, "Check the invoices", None, None, None, 0, "todo"),
]

CATEGORIES = {
    "Workshops": "Half a day, with your hands.",
    "Talks": "An hour, with questions.",
    "Fairs": "Come and see what we make.",
}

#: owner, name, category, location, day, hours, capacity, attendees; who finds no seat waits
EVENTS: list[tuple[str, str, str, str, int, int, int | None, int]] = [
    (ALICE, "Summer fair", "Fairs", "Market square", 24, 9, None, 38),
    (ALICE, "Screen printing for beginners", "Workshops", "Studio 2", 5, 4, 12, 17),
    (BOB, "How we pack fragile things", "Talks", "Dock 1", 9, 1, 40, 33),
    (CAROL, "Textile care", "Workshops", "Studio 1", 12, 3, 10, 4),
    (CAROL, "Open warehouse", "Fairs", "Hall 4", -6, 6, 60, 51),
    (BOB, "Night of the forklifts", "Talks", "Dock 2", 15, 2, 25, 6),
]
CANCELLED_EVENT = "Night of the forklifts"

#: owner, sku, name, price in cents, stock, tells when it falls to
PRODUCTS: list[tuple[str, str, str, int, int, int | None]] = [
    (ALICE, "TS-BLUE-M", "T-shirt, blue, M", 1999, 120, 20),
    (ALICE, "TS-BLUE-L", "T-shirt, blue, L", 1999, 9, 20),
    (ALICE, "MUG-01", "Mug with logo", 899, 300, 50),
    (BOB, "BOX-S", "Box, small", 149, 1000, 100),
    (BOB, "BOX-L", "Box, large", 349, 400, 100),
    (CAROL, "SCARF-RED", "Scarf, red", 2499, 60, 10),
    (CAROL, "SCARF-LTD", "Scarf, limited edition", 4999, 3, None),
]

#: buyer, days ago, {sku: quantity}, what becomes of it
ORDERS: list[tuple[str, int, dict[str, int], str]] = [
    (BOB, 13, {"TS-BLUE-M": 2, "MUG-01": 2}, "paid"),
    (CAROL, 12, {"BOX-S": 50}, "paid"),
    (ALICE, 11, {"SCARF-RED": 1}, "paid"),
    (BOB, 9, {"SCARF-LTD": 9}, "failed"),
    (CAROL, 8, {"TS-BLUE-L": 1, "BOX-L": 10}, "cancelled"),
    (ALICE, 7, {"BOX-L": 20, "BOX-S": 20}, "paid"),
    (BOB, 6, {"MUG-01": 12}, "paid"),
    (CAROL, 4, {"MUG-01": 1}, "confirmed"),
    (ALICE, 3, {"SCARF-LTD": 1}, "paid"),
    (BOB, 2, {"TS-BLUE-M": 5}, "paid"),
    (CAROL, 1, {"TS-BLUE-M": 1, "SCARF-RED": 2}, "confirmed"),
    (BOB, 0, {"SCARF-RED": 2}, "reserved"),
    (ALICE, 0, {"BOX-S": 100, "MUG-01": 6}, "reserved"),
]

GUESTS = [
    "Noah Fischer", "Emma Novak", "Liam Murphy", "Olivia Jensen", "Mateo Silva", "Mia Dubois", "Leo Horváth",
    "Zoe Papadopoulos", "Elias Berg", "Nora Kowalski", "Hugo Martin", "Ella Virtanen",
]  # fmt: skip


def guest(number: int) -> dict[str, Any]:
    """Somebody who attends events."""
    name, turn = GUESTS[number % len(GUESTS)], number // len(GUESTS)
    first, last = name.lower().split(" ")
    plain = f"{first}.{last}".encode("ascii", "ignore").decode()
    return {"name": name, "email": f"{plain}{turn or ''}@guests.example"}
