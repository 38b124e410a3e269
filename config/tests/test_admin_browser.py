"""The admin in a real browser, on a desktop and on a phone, against `./run` with its demo company.

`./run test --browser`; needs a Chromium or Chrome.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from config.demo import ADMIN
from config.tests.left_over import nothing_is_left
from config.tests.test_run import Run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PASSWORD = "meshwork demo company"
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
A_FAILED_JOB = (
    "from mesh.models import Outbox; Outbox.objects.create(operation='summarize_note', queue='notes', status='failed',"
    " arguments={'id': 1, 'revision': 1}, error='ReadTimeout: no answer in 30 s')"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="mw"))
    for command in (["demo"], ["shell", "-c", A_FAILED_JOB]):
        made = Run(folder, "manage", *command)
        assert made.exit_code() == 0, made.output()
    run = Run(folder).until_ready()
    try:
        yield f"http://127.0.0.1:{run.port}"
    finally:
        run.stop()
        assert nothing_is_left(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"There is none of {', '.join(NAMES)} here. Debian: apt install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield chromium
        chromium.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """A page that complains of nothing, and asks no other host."""
    context = browser.new_context(viewport=request.param, base_url=address)
    context.set_default_timeout(15_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else faults.append(sent.url))
    yield page
    assert faults == []
    context.close()


@pytest.fixture
def ada(page: Page) -> Page:
    """The page after she signed in."""
    page.goto("/admin/")
    page.get_by_label("Email").fill(ADMIN[0])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    return page


def fits(page: Page) -> bool:
    """Whether nothing of it is beside the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_the_dashboard_shows_and_leads_to_the_lists(ada: Page) -> None:
    expect(ada.locator(".days li")).to_have_count(14)
    assert ada.locator(".days .bar i").last.bounding_box()["height"] > 20
    assert fits(ada)
    ada.locator(".tile", has_text="Orders now").get_by_role("link").nth(4).click()
    expect(ada).to_have_url("/admin/shop/order/?status__exact=PAID")
    expect(ada.locator("#result_list").get_by_text("PAID", exact=True)).to_have_count(7)


def test_a_failed_job_is_tried_again_from_the_dashboard(ada: Page) -> None:
    button = ada.get_by_role("button", name="Retry summarize_note")
    if ada.viewport_size == DESKTOP:
        expect(ada.get_by_text("ReadTimeout: no answer in 30 s")).to_be_visible()
        button.click()
        expect(ada.get_by_text("summarize_note is tried again: 1.")).to_be_visible()
    expect(button).to_have_count(0)


def test_a_row_is_edited(ada: Page) -> None:
    ada.goto("/admin/tasks/task/")
    assert fits(ada)
    ada.get_by_role("link", name="Book a band").click()
    ada.locator("#id_description").fill("One that plays in the rain.")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(ada.get_by_text("was changed successfully")).to_be_visible()
    ada.get_by_role("link", name="Book a band").last.click()
    expect(ada.locator("#id_description")).to_have_value("One that plays in the rain.")
    assert fits(ada)
    ada.locator("#id_description").fill("")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(ada.get_by_text("was changed successfully")).to_be_visible()


def test_an_action_is_run_and_says_what_it_did(ada: Page) -> None:
    ada.goto("/admin/tasks/task/")
    ada.locator("#result_list .action-select").first.check()
    ada.locator("select[name=action]").select_option(label="Done")
    ada.get_by_role("button", name="Run").click()
    expect(ada.get_by_text("Done: 1.")).to_be_visible()


def focus(page: Page, wanted: str) -> None:
    """Tab, until this has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/admin/")
    if not page.evaluate("document.activeElement.matches('#id_username')"):
        focus(page, "#id_username")
    page.keyboard.type(ADMIN[0])
    focus(page, "#id_password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    focus(page, ".dashboard .more a[href*='/tasks/task/']")
    page.keyboard.press("Enter")
    page.wait_for_url("/admin/tasks/task/?overdue=yes")
    focus(page, "#result_list a[href*='/change/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/**")
    focus(page, "#id_title")
    page.keyboard.press("End")
    page.keyboard.type("!")
    page.keyboard.press("Enter")
    expect(page.get_by_text("was changed successfully")).to_be_visible()


def test_the_navigation_has_icons_and_names_where_one_is(ada: Page) -> None:
    if ada.viewport_size == PHONE:
        ada.locator("header, #header-inner").get_by_text("dock_to_right").last.click()
    icons = ada.locator("#nav-sidebar-apps li .material-symbols-outlined")
    expect(icons).to_have_count(23)
    ada.evaluate("document.fonts.ready")
    assert icons.evaluate_all("found => found.filter(icon => icon.scrollWidth > 24).map(icon => icon.innerText)") == []
    ada.locator("#nav-sidebar-apps").get_by_role("link", name="Payments").click()
    expect(ada.locator("#nav-sidebar-apps a.active")).to_have_text("payments Payments")
    assert fits(ada)


def test_the_dark_theme_is_dark(ada: Page) -> None:
    ada.emulate_media(color_scheme="dark")
    ada.reload()
    lightness = "getComputedStyle(document.querySelector('%s')).%s"
    assert "0.2" in ada.evaluate(lightness % ("body", "backgroundColor"))
    assert fits(ada)
