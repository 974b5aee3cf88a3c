"""A page of a person who has logged in to Label Studio."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from servers.browser import log_in, new_page
from servers.label_studio import LabelStudioServer

pytest_plugins = ["servers.browser"]


@pytest.fixture
def page(browser: Browser, label_studio: LabelStudioServer) -> Iterator[Page]:
    page = new_page(browser)
    log_in(page, label_studio)
    yield page
    page.context.close()
