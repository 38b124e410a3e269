"""How the admin looks: its name, colours and navigation. `UNFOLD` in the settings."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _logo(request: Any) -> str:
    return static("meshwork/logo.svg")


def _styles(request: Any) -> str:
    return static("meshwork/admin.css")


def _group(title: str, *items: tuple[str, str, str]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": [_item(*item) for item in items]}


def _item(title: str, icon: str, table: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{table}_changelist")}


UNFOLD = {
    "SITE_TITLE": "Meshwork",
    "SITE_HEADER": "Meshwork",
    "SITE_SUBHEADER": "Back office",
    "SITE_URL": "/docs",
    "SITE_ICON": _logo,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "sizes": "any", "href": _logo}],
    "STYLES": [_styles],
    "ENVIRONMENT": "config.dashboard.environment",
    "DASHBOARD_CALLBACK": "config.dashboard.dashboard",
    # A teal whose 600 is dark enough for white on it, and whose 500 light enough for text on black.
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(70.4% .14 182.503)",
            "600": "oklch(51.1% .096 186.391)",
            "700": "oklch(43.7% .078 188.216)",
            "800": "oklch(38.6% .063 188.416)",
            "900": "oklch(33% .055 190)",
            "950": "oklch(27.7% .046 192.524)",
        }
    },
    "SIDEBAR": {
        "navigation": [
            {"items": [{"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
            _group(
                "People",
                ("Users", "person", "accounts_user"),
                ("Contacts", "contacts", "accounts_contact"),
                ("Sessions", "login", "accounts_session"),
                ("API keys", "key", "accounts_apikey"),
            ),
            _group("Calendar", ("Meetings", "groups", "meetings_meeting"), ("Calls", "call", "meetings_call")),
            _group(
                "Work",
                ("Projects", "folder", "tasks_project"),
                ("Tasks", "task_alt", "tasks_task"),
                ("Notes", "description", "notes_note"),
            ),
            _group(
                "Shop",
                ("Orders", "shopping_cart", "shop_order"),
                ("Products", "inventory_2", "shop_product"),
                ("Payments", "payments", "shop_payment"),
                ("Stock movements", "swap_vert", "shop_stockmovement"),
                ("Stock discrepancies", "balance", "shop_stockdiscrepancy"),
            ),
            _group(
                "Events",
                ("Events", "event", "events_event"),
                ("Categories", "category", "events_category"),
                ("Attendees", "badge", "events_attendee"),
                ("Registrations", "how_to_reg", "events_registration"),
            ),
            _group(
                "System",
                ("Jobs", "work_history", "mesh_outbox"),
                ("Mails", "mail", "mesh_mail"),
                ("Waiting documents", "cloud_upload", "mesh_waitingdocument"),
                ("Audit entries", "policy", "mesh_auditentry"),
            ),
        ],
    },
}
