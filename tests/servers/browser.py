"""A browser without a screen.

A test module says `pytest_plugins = ["servers.browser"]` and takes the fixture `browser`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from servers.label_studio import LabelStudioServer
from servers.process import HOST

# What it is called depends on who packaged it.
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
NONE_THERE = (
    f"There is no browser: of {', '.join(NAMES)} none is on the PATH, and $CHROME names none. Install one: on Debian "
    "`apt-get install chromium`, elsewhere `uv run playwright install chromium`."
)
# It has nothing to do on this machine but to show pages of servers on this machine.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
]

# A slow machine under load is no failure.
PATIENCE_SECONDS = 60
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


def executable(playwright: Playwright) -> str:
    """Return the browser to run: the one that $CHROME names, one that is installed, or Playwright's own."""
    named = os.environ.get("CHROME")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if not found and not named and Path(playwright.chromium.executable_path).exists():
        found = playwright.chromium.executable_path
    if not found:
        pytest.exit(NONE_THERE, returncode=1)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), headless=True, args=QUIET)
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """Open a page that waits for what a slow machine shows late."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    return context.new_page()


def log_in(page: Page, label_studio: LabelStudioServer) -> None:
    """Log in to Label Studio."""
    page.goto(f"{label_studio.url}/user/login/", wait_until="domcontentloaded")
    page.fill("#email", label_studio.email)
    page.fill("#password", label_studio.password)
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.click("button[type=submit]")
