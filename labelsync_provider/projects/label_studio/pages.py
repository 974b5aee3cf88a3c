"""The pages that Label Studio has for a project, for links to lead to."""

import base64
import json
import zlib
from urllib.parse import quote


def tasks_page(project_url: str, ids: tuple[int, int] | None) -> str:
    """Return the URL of the data manager; see `HasPages.tasks_page`."""
    return f"{project_url}/data?tab={_tab_of(*ids)}" if ids else f"{project_url}/data"


def storages_page(project_url: str) -> str:
    """Return the URL of the settings of the project's storages."""
    return f"{project_url}/settings/storage"


def _tab_of(lowest: int, highest: int) -> str:
    """Return a tab of the data manager that stands in its URL, and leaves nothing in the project.

    Source: what the data manager of Label Studio 1.23.2 makes of a filter in a tab that was not saved.
    """
    between = {
        "filter": "filter:tasks:id",
        "operator": "in",
        "type": "Number",
        "value": {"min": lowest, "max": highest},
    }
    tab = {
        "title": "Imported",
        "filters": {"conjunction": "and", "items": [between]},
        "ordering": [],
        "agreement_selected": {},
    }
    return quote(base64.b64encode(zlib.compress(json.dumps(tab).encode())), safe="")
