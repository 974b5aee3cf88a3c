"""Waits for new objects in a storage."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from labelsync_provider.errors import NotFound, counted
from labelsync_provider.triggers.looking import Look, LookingTrigger, open_project, seconds_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labelsync_provider.projects.protocol import Project
    from labelsync_provider.sync.new_objects import NewObjects, Quiet


class NewObjectsTrigger(LookingTrigger):
    """Looks whether enough objects are new in a source, and no more come; see `NewObjectsSensor`.

    Its parameters are those of the sensor, with a list of URIs as `source`, and the options of the import under
    `options`. It remembers what waited, and since when that has not changed.
    """

    def _look(self) -> Look:
        from labelsync_provider.sync.new_objects import Quiet, quiet_since, summed

        given = self.parameters
        project_id, of_each = self._count()
        found = summed(list(of_each.values()))
        enough, quiet = found.waiting >= given["min_objects"], None
        now = time.time()
        if enough:
            before = self.memory.get("quiet")
            quiet = quiet_since(Quiet(*before) if before else None, found, now)
        settled = quiet is not None and now - quiet.since >= given["settle_seconds"]
        overdue = quiet is not None and given["max_wait"] is not None and now - quiet.enough_since >= given["max_wait"]
        counts = {
            "listed": found.listed,
            "matched": found.matched,
            "new": found.new,
            "retriable": found.retriable,
            "settled": settled,
        }
        memory = {"project": project_id, "quiet": list(quiet) if quiet else None}
        said = f"{_in_words(of_each)}: {self._says(found, quiet, settled, now)}"
        return Look(settled or overdue, said, counts, memory)

    def _count(self) -> "tuple[int | None, dict[str, NewObjects]]":
        """Return the project's id, if it is there, and what each source shows, by its URI."""
        from labelsync_provider.hooks.database import opened_labelsync_database
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.sync.importing.options import ImportOptions
        from labelsync_provider.sync.new_objects import count_new_objects

        given, options = self.parameters, ImportOptions(**self.parameters["options"])
        found: dict[str, NewObjects] = {}
        with ExitStack() as opened:
            project = self._project(opened)
            engine = opened.enter_context(opened_labelsync_database())
            for uri in given["source"]:
                hook = storage_hook("source", uri, given["source_conn_id"])
                source = hook.get_source(uri, given["recursive_scan"])
                found[source.uri] = count_new_objects(source, project, engine, options)
        return project.id or None, found

    def _project(self, opened: ExitStack) -> "Project":
        """Open the project. All is new to one that is not there yet.

        :raises NotFound: there is none, and the import would create none.
        """
        from labelsync_provider.hooks.label_studio import LabelStudioHook

        given = self.parameters
        hook = LabelStudioHook(given["label_studio_conn_id"])
        opened.callback(hook.close)
        try:
            return open_project(opened, hook, given["project"], self.memory.get("project"))
        except NotFound:
            if given["create_if_missing"] is None:
                raise
            return hook.plan_project(given["project"], given["create_if_missing"])

    def _says(self, found: "NewObjects", quiet: "Quiet | None", settled: bool, now: float) -> str:
        given = self.parameters
        again = f", and {found.retriable:,} in quarantine worth another try" if found.retriable else ""
        said = (
            f"{found.new:,} new of {counted(found.listed, 'object')} listed, {found.matched:,} of which match{again}."
        )
        if found.listed and not found.matched and found.unmatched is not None:
            said += f" regex_filter {given['options']['regex_filter']!r} does not match {found.unmatched!r}, for one."
        if quiet is None:
            return f"{said} Waiting for {given['min_objects']:,}."
        if settled:
            return said
        for_now = seconds_in_words(now - quiet.since)
        said += f" Nothing has changed for {for_now}, of {seconds_in_words(given['settle_seconds'])}"
        if given["max_wait"] is None:
            return said + "."
        left = given["max_wait"] - (now - quiet.enough_since)
        if left <= 0:
            return said + f"; max_wait, {seconds_in_words(given['max_wait'])}, is over."
        return said + f"; {seconds_in_words(left)} are waited at most."


def _in_words(of_each: "Mapping[str, NewObjects]") -> str:
    if len(of_each) == 1:
        return next(iter(of_each))
    return ", ".join(f"{uri} ({found.new:,} new)" for uri, found in of_each.items())
