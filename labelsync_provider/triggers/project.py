"""Waits for annotators."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from labelsync_provider.errors import counted
from labelsync_provider.triggers.looking import Look, LookingTrigger, open_project, seconds_in_words

if TYPE_CHECKING:
    from labelsync_provider.projects.protocol import Watchable

HOUR = 3600.0


class _Aim(NamedTuple):
    """What is waited for."""

    name: str
    is_now: int
    wanted: int

    @property
    def met(self) -> bool:
        return self.is_now >= self.wanted


class LabelingProgressTrigger(LookingTrigger):
    """Looks whether enough tasks are annotated; see `LabelingProgressSensor`.

    Its parameters are those of the sensor. It remembers what its first look has shown, and when.
    """

    def _look(self) -> Look:
        from labelsync_provider.hooks.label_studio import LabelStudioHook

        given, counts, aims, said = self.parameters, dict[str, Any](), list[_Aim](), list[str]()
        hook = LabelStudioHook(given["label_studio_conn_id"])
        with ExitStack() as opened:
            project = open_project(opened, hook, given["project"], self.memory.get("project"))
            if given["min_annotated"] is not None or given["min_share"] is not None:
                tasks, annotated = project.labeling()
                counts |= {"tasks": tasks, "annotated": annotated, "share": annotated / tasks if tasks else 0.0}
                aims += self._aims(tasks, annotated)
                said.append(_annotated_in_words(tasks, annotated))
            if given["min_new"] is not None:
                new = counts["new"] = self._new(project)
                aims.append(_Aim("new", new, given["min_new"]))
                said.append(f"{new:,} annotated or changed and not exported yet, of {given['min_new']:,}")
        now, met = time.time(), all(aim.met for aim in aims)
        first = self.memory["first"] if self.memory.get("project") == project.id else None
        if first and not met and (pace := _pace(aims, first, now)):
            said.append(pace)
        memory = {"project": project.id, "first": first or {**counts, "at": now}}
        return Look(met, f"Project {project.title!r}: {', '.join(said)}.", counts, memory)

    def _aims(self, tasks: int, annotated: int) -> list[_Aim]:
        fewest, share = self.parameters["min_annotated"], self.parameters["min_share"]
        aims = [] if fewest is None else [_Aim("annotated", annotated, fewest)]
        if share is not None:
            # 7 of 100 are 0.07 of them, whatever that is in binary. Of no tasks, no share is annotated.
            aims.append(_Aim("annotated", annotated, max(ceil(round(share * tasks, 6)), 1)))
        return aims

    def _new(self, project: "Watchable") -> int:
        from labelsync_provider.hooks.database import opened_labelsync_database
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.sync.labeling import annotated_since_export

        target = self.parameters["target"]
        location = storage_hook("target", target, self.parameters["target_conn_id"]).get_target(target).location
        with opened_labelsync_database() as engine:
            return annotated_since_export(project, location, engine)


def _annotated_in_words(tasks: int, annotated: int) -> str:
    if not tasks:
        return "no tasks yet"
    # Rounded down: all are all.
    return f"{annotated:,} of {counted(tasks, 'task')} annotated ({100 * annotated // tasks} %)"


def _pace(aims: Sequence[_Aim], first: dict[str, Any], now: float) -> str:
    """Return how fast it has gone since the first look, and what is left by that of the aim that takes the longest."""
    passed = now - first["at"]
    farthest = max(aims, key=lambda aim: aim.wanted - aim.is_now)
    done = farthest.is_now - first[farthest.name]
    if passed <= 0 or done <= 0:
        return ""
    an_hour = done / passed * HOUR
    left = seconds_in_words((farthest.wanted - farthest.is_now) / an_hour * HOUR)
    return f"{an_hour:,.{0 if an_hour >= 10 else 1}f}/h, about {left} left"
