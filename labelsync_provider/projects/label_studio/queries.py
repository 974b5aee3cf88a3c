"""The tasks of one project by the API of a Label Studio server: pages of them, and requests that change something."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from labelsync_provider.errors import TooLarge, Unusable
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import NO_BASE
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.transport import Method
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

PAGE = 1000
MORE_MEANWHILE = 1_000_000
"""So many tasks may come in while the pages of a project are asked for."""
IDS_IN_A_URL = 250
"""Servers in front of Label Studio take request lines of 4 KB."""


class TaskApi:
    """Asks a server about the tasks of one project."""

    def __init__(self, client: Client, project_id: int) -> None:
        self.client = client
        self._project_id = project_id
        self._at_once: dict[str, int] = {}
        """By the fields asked for, how many tasks the server has been able to answer with, where that is fewer."""
        self.confirm: Callable[[], None] | None = None
        """Called right before each request that changes something, see `Remote.confirm_before_changes`."""

    def change(self, method: Method, path: str, body: Any = None, shape: Any = Any, **params: Any) -> Any:
        """Have something changed; see `Client.ask` for the errors."""
        return self.client.ask(method, path, params=params, body=body, shape=shape, confirm=self.confirm)

    def change_tasks(self, action: str, task_ids: Sequence[int], *filters: Json) -> None:
        """Have an action done to those of some tasks that the filters let through."""
        for start in range(0, len(task_ids), PAGE):
            selected = {"all": False, "included": task_ids[start : start + PAGE]}
            body: Json = {"selectedItems": selected, "filters": _all(filters)}
            self.change("POST", "/api/dm/actions/", body, id=action, project=self._project_id)

    def highest_id(self) -> int:
        """Return the id of the youngest task; 0 if there is none."""
        page = self._page("id", shapes.Task, [], ordering="-tasks:id", size=1)["tasks"]
        return page[0]["id"] if page else 0

    def latest_change(self) -> str | None:
        """Return when a task was changed last, as the server says it; None if there is no task."""
        page = self._page("id,updated_at", shapes.Changed, [], ordering="-tasks:updated_at", size=1)["tasks"]
        return page[0]["updated_at"] if page else None

    def count(self, *filters: Json) -> int:
        """Return how many tasks the filters let through. Counts of annotations in them are the server's counters."""
        total: int | None = self._page("id", shapes.Task, filters, size=1).get("total")
        if total is None:
            raise self._astray("it does not tell how many tasks there are")
        return total

    def by_id(
        self, include: str, shape: Any, *filters: Json, after: int = 0, last: int | None = None
    ) -> Iterator[list[Json]]:
        """Yield the tasks above an id, up to another one, that the filters let through, by ascending id.

        :param include: the fields that are returned, separated by commas.
        :param shape: the type of a task with these.
        :raises Unusable: the pages do not advance, or have no end.
        """
        seen, most = 0, None
        while True:
            size = self._at_once.get(include, PAGE)
            try:
                answer = self._page(include, shape, [*id_filters(after, last), *filters], size=size)
            except TooLarge as error:
                self._at_once[include] = _half(size, error)
                continue
            page = answer["tasks"]
            if most is None:
                most = answer.get("total", 0) + MORE_MEANWHILE
            seen += len(page)
            ids = [after, *(task["id"] for task in page)]
            if any(one >= next_one for one, next_one in pairwise(ids)) or seen > most:
                raise self._astray(f"the pages of its tasks do not advance behind task {after}")
            if page:
                yield page
                after = ids[-1]
            # A server may give fewer at a time than it is asked for, and tell fewer than there are.
            if not page or size > len(page) >= answer.get("total", 0):
                return

    def by_ids(
        self, task_ids: Sequence[int], include: str, shape: Any, *filters: Json, **params: Any
    ) -> Iterator[list[Json]]:
        """Yield those of some tasks that are there and that the filters let through, at most `IDS_IN_A_URL` in a page.

        :raises Unusable: the server tells of others.
        """
        ids = sorted(task_ids)
        while ids:
            part = ids[: self._at_once.get(include, IDS_IN_A_URL)]
            selected = {"all": False, "included": part}
            try:
                answer = self._page(include, shape, filters, size=len(part), selected=selected, **params)
            except TooLarge as error:
                self._at_once[include] = _half(len(part), error)
                continue
            page = answer["tasks"]
            told = [task["id"] for task in page]
            if 0 < len(page) < min(answer.get("total", 0), len(part)):
                self._at_once[include] = len(page)  # the server gives no more at a time
                continue
            if len(set(told)) < len(told) or not set(told) <= set(part):
                raise self._astray("it tells of tasks that it was not asked for, or twice of one")
            yield page
            ids = ids[len(part) :]

    def with_work(self, task_ids: Sequence[int], shape: Any, *fields: str, **params: Any) -> Iterator[list[Json]]:
        """Yield tasks with what tells whether somebody works on them: see `is_worked_on`.

        Of its own accord the server tells counters of annotations, which can be wrong, and nothing of other people's
        drafts. It looks at the annotations where it sorts by their ids, and at all drafts where it filters by them;
        this filter lets all tasks through.
        """
        include = ",".join(("id", "annotations_ids", "draft_exists", *fields))
        any_draft = column_filter("draft_exists", "empty", "Boolean", False)
        return self.by_ids(task_ids, include, shape, any_draft, ordering="tasks:annotations_ids", **params)

    def _astray(self, what: str) -> Unusable:
        return Unusable(f"{self.client.url}: {what}. {NO_BASE}")

    def _page(
        self,
        include: str,
        shape: Any,
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
            "/api/tasks/",
            shapes.page_of(shape),
            divisible=size > 1,
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


def id_filters(after: int, last: int | None = None) -> list[Json]:
    """Return filters that let the tasks above an id through, up to another one; None for all."""
    above = column_filter("id", "greater", "Number", after)
    return [above] if last is None else [above, column_filter("id", "less_or_equal", "Number", last)]


EACH_ANNOTATION = column_filter("annotations_ids", "not_in_list", "List", [])
"""Lets all tasks through, and has the server look at the annotations of each: only then it tells their ids. Beside that
it tells counters, which can be wrong."""


def _half(size: int, error: TooLarge) -> int:
    """Return the size of a page to be asked for instead of one of which the server has said this."""
    if size == 1:
        raise error
    log.warning("Asking for %d tasks at a time instead of %d: %s", size // 2, size, error)
    return size // 2


def _all(filters: Sequence[Json]) -> Json:
    return {"conjunction": "and", "items": list(filters)}
