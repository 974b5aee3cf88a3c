"""Waits for new objects in a storage."""

import time
from typing import TYPE_CHECKING

from labelsync_provider.triggers.looking import Look, LookingTrigger, seconds_in_words

if TYPE_CHECKING:
    from labelsync_provider.sync.new_objects import NewObjects, Quiet


class NewObjectsTrigger(LookingTrigger):
    """Looks whether enough objects are new in a source, and no more come; see `NewObjectsSensor`.

    Its parameters are those of the sensor, with the options of the import under `options`. It remembers what waited,
    and since when that has not changed.
    """

    def _look(self) -> Look:
        from labelsync_provider.hooks.label_studio import LabelStudioHook, opened_labelsync_database
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.sync.importing.options import ImportOptions
        from labelsync_provider.sync.new_objects import Quiet, count_new_objects, quiet_since

        given, uri = self.parameters, self.parameters["source"]
        source = storage_hook("source", uri, given["source_conn_id"]).get_source(uri, given["recursive_scan"])
        hook = LabelStudioHook(given["label_studio_conn_id"])
        # By its id it is found at once, however many projects there are.
        named = self.memory.get("project", given["project"])
        with hook.looking_at(named) as project, opened_labelsync_database() as engine:
            found = count_new_objects(source, project, engine, ImportOptions(**given["options"]))
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
        memory = {"project": project.id, "quiet": list(quiet) if quiet else None}
        return Look(settled or overdue, f"{source.uri}: {self._says(found, quiet, settled, now)}", counts, memory)

    def _says(self, found: "NewObjects", quiet: "Quiet | None", settled: bool, now: float) -> str:
        given = self.parameters
        again = f", and {found.retriable:,} in quarantine worth another try" if found.retriable else ""
        said = f"{found.new:,} new of {found.listed:,} objects listed, {found.matched:,} of which match{again}."
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
