"""The forms in the Airflow UI, filled in by somebody who writes no code: wrong first, then right."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from servers.browser import log_in, new_page
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server
from standalone.conftest import Airflow

SCREENSHOTS = os.environ.get("LABELSYNC_SCREENSHOTS")
"""A directory: what the pages show goes there too, to be looked at."""
PICTURES = 3


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = new_page(browser)
    yield page
    page.context.close()


def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.wait_for_timeout(2000)  # what moves has come to rest
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def fill_and_trigger(airflow: Airflow, page: Page, dag_id: str, name: str, fill: Callable[[Locator], None]) -> str:
    """Fill in the form of a DAG, and start it; return the run's id."""
    before = runs(airflow, dag_id)
    page.goto(f"{airflow.url}/dags/{dag_id}", wait_until="domcontentloaded")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    send = dialog.get_by_role("button", name="Trigger", exact=True)
    expect(send).to_be_disabled()  # what is required is empty
    fill(dialog)
    shoot(page, name)
    expect(send).to_be_enabled()
    send.click()
    airflow.wait_until(lambda: runs(airflow, dag_id) - before, f"no run of {dag_id} has begun")
    (run,) = runs(airflow, dag_id) - before
    return run


def runs(airflow: Airflow, dag_id: str) -> set[str]:
    found = airflow.api.get(f"/dags/{dag_id}/dagRuns").raise_for_status().json()["dag_runs"]
    return {run["dag_run_id"] for run in found}


def test_a_project_is_created_and_filled_from_s3(
    airflow: Airflow, label_studio: LabelStudioServer, weed: S3Server, page: Page, title: str
) -> None:
    bucket = weed.create_bucket()
    for number in range(PICTURES):
        weed.client().put_object(Bucket=bucket, Key=f"photos/{number}.jpg", Body=b"\xff\xd8\xff\xd9")

    def describe(dialog: Locator) -> None:
        dialog.locator("#element_title").fill(title)
        dialog.get_by_role("combobox").click()
        page.get_by_role("option", name="Pictures: classify").click()

    created = fill_and_trigger(airflow, page, "create_project", "create-project", describe)
    airflow.succeeded("create_project", created)

    def choose(source: str) -> Callable[[Locator], None]:
        def fill(dialog: Locator) -> None:
            dialog.locator("#element_source").fill(source)
            dialog.get_by_role("combobox").first.fill(title)
            dialog.locator('label:has(input[name="element_use_blob_urls"])').click()

        return fill

    wrong = fill_and_trigger(
        airflow, page, "import_storage_sync", "import-form", choose("s3://no-such-bucket-of-ours/photos")
    )
    assert airflow.ended("import_storage_sync", wrong) == "failed"
    task = f"{airflow.url}/dags/import_storage_sync/runs/{wrong}/tasks/import"
    page.goto(task, wait_until="domcontentloaded")
    expect(page.get_by_text("no-such-bucket-of-ours").first).to_be_visible()
    shoot(page, "import-failed")

    right = fill_and_trigger(airflow, page, "import_storage_sync", "import-form", choose(f"s3://{bucket}/photos"))
    airflow.succeeded("import_storage_sync", right)
    task = f"{airflow.url}/dags/import_storage_sync/runs/{right}/tasks/import"
    page.goto(task, wait_until="domcontentloaded")
    expect(page.get_by_text(f"tasks created {PICTURES}").first).to_be_visible()
    shoot(page, "import-log")
    page.goto(f"{task}/details", wait_until="domcontentloaded")
    imported = page.get_by_role("link", name="Imported tasks")
    expect(imported).to_be_visible()
    shoot(page, "import-details")
    address = imported.get_attribute("href") or ""
    assert address.startswith(label_studio.url)
    log_in(page, label_studio)
    page.goto(address, wait_until="domcontentloaded")
    expect(page.get_by_text(f"Tasks: {PICTURES} / {PICTURES}")).to_be_visible()
    shoot(page, "imported-tasks")
