"""Batches of tasks on their way into a project: those that the server rejects do not keep the others out.

Source of what is said about the API: label-studio 1.23.2. What only Enterprise does is marked so, and taken from the
signatures of its SDK.
"""

import time
from collections.abc import Sequence

from labelsync_provider.errors import TooLarge, Unavailable
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import Refused, TooMuch
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.queries import TaskApi
from labelsync_provider.projects.label_studio.refusals import tasks_named
from labelsync_provider.projects.protocol import Json, Rejected, Task

POLL_SECONDS = 1.0
JOB_SECONDS = 3600.0
"""Time in which an import must end that the server does in the background."""


class Importer:
    """Imports into one project."""

    def __init__(self, client: Client, api: TaskApi, project_id: int) -> None:
        self._client, self._api, self._project_id = client, api, project_id
        self._url = f"{client.url}/projects/{project_id}"
        self.newest: int | None = None
        """The id of the youngest task, as long as it is certain that nothing was imported since."""

    def add(self, items: Sequence[Task]) -> list[int | Rejected]:
        """Import a batch; of one that is turned down, what is good, and each half of what was not looked at, by itself.

        :raises TooLarge: it has more bytes than the server takes; nothing was imported.
        """
        outcomes: dict[int, int | Rejected] = {}
        parts = [list(range(len(items)))]
        while parts:
            part = parts.pop()
            try:
                outcomes |= zip(part, self._add_all([items[n] for n in part]), strict=True)
            except Refused as refusal:
                if isinstance(refusal, TooMuch) and 1 < len(part) == len(items):
                    raise TooLarge(str(refusal)) from None
                named, looked_at = tasks_named(refusal, len(part))
                if not named and len(part) == 1:
                    named, looked_at = {0: str(refusal)}, 1
                outcomes |= {part[n]: Rejected(reason) for n, reason in named.items()}
                good = [n for place, n in enumerate(part[:looked_at]) if place not in named]
                others = part[looked_at:]
                # As a whole, they would be sent once for each hundred bad ones among them.
                half = len(others) // 2
                parts += [some for some in (others[half:], others[:half], good) if some]
        return [outcomes[n] for n in range(len(items))]

    def _add_all(self, items: list[Task]) -> list[int]:
        """Import a batch, or nothing of it.

        :raises Refused: nothing.
        """
        path = f"/api/projects/{self._project_id}/import"
        newest, self.newest = self.newest, None
        how = {"return_task_ids": "true", "commit_to_project": "true"}
        try:
            ids = self._imported(self._api.change("POST", path, items, shapes.Imported, **how))
        except Refused:
            self.newest = newest
            raise
        if ids is None or not len(set(ids)) == len(ids) == len(items):
            told = f"of {len(items)}: {self._client.shown(ids)}"
            raise Unavailable(f"{self._url}: the server does not tell which tasks were imported, {told}.")
        self.newest = max(ids)
        return ids

    def _imported(self, answer: Json) -> list[int] | None:
        """Return the ids of the tasks; Enterprise imports in the background, and is asked until it is done."""
        deadline = time.monotonic() + JOB_SECONDS
        while "import" in answer or answer.get("status") in ("created", "in_progress"):
            number = answer.get("import") or answer.get("id")
            if number is None or time.monotonic() > deadline:
                told = self._client.shown(answer)
                raise Unavailable(f"{self._url}: import {number} has not ended within {JOB_SECONDS:g} s: {told}.")
            self._client.requests.stop.sleep(POLL_SECONDS)
            answer = self._client.get(f"/api/projects/{self._project_id}/imports/{number}/", shapes.Imported)
        if answer.get("status") == "failed":
            error = answer.get("error")
            raise Refused(f"{self._url}: the server could not import: {self._client.shown(error)}", reasons=error)
        ids: list[int] | None = answer.get("task_ids")
        return ids
