"""The tasks of one project by the API of a Label Studio server: pages of them, and requests that change something."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from labelsync_provider.projects.label_studio_client import Client, Method
from labelsync_provider.projects.protocol import Json

PAGE = 1000
IDS_IN_A_URL = 250
"""Servers in front of Label Studio take request lines of 4 KB."""


class TaskApi:
    """Asks a server about the tasks of one project."""

    def __init__(self, client: Client, project_id: int) -> None:
        self.client = client
        self._project_id = project_id
        self.confirm: Callable[[], None] | None = None
        """Called right before each request that changes something, see `Project.fence`."""

    def change(self, method: Method, path: str, body: Any = None, **params: Any) -> Any:
        """Have something changed; see `Client.ask` for the errors."""
        return self.client.ask(method, path, params=params, body=body, confirm=self.confirm)

    def change_tasks(self, action: str, task_ids: Sequence[int], *filters: Json) -> None:
        """Have an action done to those of some tasks that the filters let through."""
        for start in range(0, len(task_ids), PAGE):
            selected = {"all": False, "included": task_ids[start : start + PAGE]}
            body: Json = {"selectedItems": selected, "filters": _all(filters)}
            self.change("POST", "/api/dm/actions/", body, id=action, project=self._project_id)

    def highest_id(self) -> int:
        """Return the id of the youngest task; 0 if there is none."""
        page = self._page("id", [], ordering="-tasks:id", size=1)["tasks"]
        return page[0]["id"] if page else 0

    def count(self, *filters: Json) -> int:
        """Return how many tasks the filters let through."""
        total: int = self._page("id", filters, size=1)["total"]
        return total

    def by_id(self, include: str, *filters: Json, after: int = 0) -> Iterator[list[Json]]:
        """Yield the tasks above an id that the filters let through, by ascending id.

        :param include: the fields that are returned, separated by commas.
        """
        while True:
            above = column_filter("id", "greater", "Number", after)
            page = self._page(include, [above, *filters], size=PAGE)["tasks"]
            if page:
                yield page
                after = page[-1]["id"]
            if len(page) < PAGE:
                return

    def by_ids(self, task_ids: Sequence[int], include: str, *filters: Json, **params: Any) -> Iterator[list[Json]]:
        """Yield those of some tasks that are there and that the filters let through, `IDS_IN_A_URL` in a page."""
        ids = sorted(task_ids)
        for start in range(0, len(ids), IDS_IN_A_URL):
            selected = {"all": False, "included": ids[start : start + IDS_IN_A_URL]}
            yield self._page(include, filters, size=IDS_IN_A_URL, selected=selected, **params)["tasks"]

    def with_work(self, task_ids: Sequence[int], *fields: str, **params: Any) -> Iterator[list[Json]]:
        """Yield tasks with what tells whether somebody works on them: see `is_worked_on`.

        Of its own accord the server tells counters of annotations, which can be wrong, and nothing of other people's
        drafts. It looks at the annotations where it sorts by their ids, and at all drafts where it filters by them;
        this filter lets all tasks through.
        """
        include = ",".join(("id", "annotations_ids", "draft_exists", *fields))
        any_draft = column_filter("draft_exists", "empty", "Boolean", False)
        return self.by_ids(task_ids, include, any_draft, ordering="tasks:annotations_ids", **params)

    def _page(
        self,
        include: str,
        filters: Sequence[Json],
        *,
        size: int,
        ordering: str = "tasks:id",
        selected: Json | None = None,
        **params: Any,
    ) -> Json:
        query: Json = {"ordering": [ordering]}
        if filters:
            query["filters"] = _all(filters)
        if selected:
            query["selectedItems"] = selected
        page: Json = self.client.get(
            "/api/tasks",
            project=self._project_id,
            page_size=size,
            include=include,
            resolve_uri="false",
            query=msgspec.json.encode(query).decode(),
            **params,
        )
        return page


def column_filter(column: str, operator: str, kind: str, value: Any) -> Json:
    """Return a filter by a column of Label Studio's data manager."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _all(filters: Sequence[Json]) -> Json:
    return {"conjunction": "and", "items": list(filters)}
