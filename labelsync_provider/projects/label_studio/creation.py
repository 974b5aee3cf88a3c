"""Creates projects of a Label Studio server: of one title one, whatever becomes of the requests and the runs.

The server makes as many projects of a title as it is asked for, and may carry out a request that was given up long ago.
So a project is asked for under the title of an unfinished one, which follows from its own, and gets its own only when
it is there: by a request that may be repeated. Whoever comes next finds the unfinished one and finishes it. One that
comes late keeps that title, and stands in nobody's way.

Leases are the engine's, and not known here. Where a run holds none, as a task of one's own that calls the hook, two
may create the same title at once. So whoever has asked looks which unfinished ones there are, and then whether the
title is there by now, before it names its own. Two of one title come only of two requests at once of which the
database shows the project with the lower id later than the other.

Source of what is said about the API: label-studio 1.23.2.
"""

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

from labelsync_provider.errors import RequestFailed, Unavailable, invalid
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import NotSent
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

SHORTEST_TITLE, LONGEST_TITLE = 3, 50
"""Characters; PROJECT_TITLE_MIN_LEN and PROJECT_TITLE_MAX_LEN of the server's settings."""
APPEARING_SECONDS = 30.0
"""Time for which a project is looked for whose creation was not answered."""
LOOK_SECONDS = 1.0

Titled = Callable[[str], Sequence[int]]
"""Returns the ids of the projects with exactly that title, the oldest first."""


def unfinished_title(title: str) -> str:
    """Return what a project is called until it is known that there is one: it tells a person what to do with it."""
    end = f" (unfinished {blake2b(title.encode(errors='replace'), digest_size=4).hexdigest()})"
    return title[: LONGEST_TITLE - len(end)].rstrip() + end


def create(client: Client, titled: Titled, fields: Json, confirm: Callable[[], None] | None) -> Json:
    """Create a project whose title no project has; return it as the server tells of it.

    :param fields: title, label config and description.
    :param confirm: called right before each request that changes something; what it raises ends this.
    :raises Invalid: the server does not take the title or the label config.
    :raises Unavailable: it is not certain whether it was created. The next call finds out.
    :raises Stopped: the run is to end.
    """
    check_title(fields["title"])
    name = unfinished_title(fields["title"])
    unfinished = _empty(client, titled(name)) or _asked_for(client, titled, name, fields, confirm)
    # Somebody who has no lease may have finished another one between the first look for the title and the last one for
    # unfinished projects.
    finished = titled(fields["title"])
    for left in unfinished if finished else unfinished[1:]:
        log.warning(
            "Project %d, %r, is what came of a request that was given up, or of two at once. It is empty and "
            "not used: delete it.",
            left,
            name,
        )
    if finished:
        there: Json = client.get(f"/api/projects/{finished[0]}/", shapes.Project)
        return there
    path = f"/api/projects/{unfinished[0]}/"
    created: Json = client.ask("PATCH", path, body=fields, shape=shapes.Project, confirm=confirm)
    return created


def _asked_for(
    client: Client, titled: Titled, name: str, fields: Json, confirm: Callable[[], None] | None
) -> Sequence[int]:
    """Ask for an unfinished project, once; return the ids of those that are there then."""
    try:
        asked = client.ask(
            "POST", "/api/projects/", body={**fields, "title": name}, shape=shapes.Created, confirm=confirm
        )
    except NotSent:
        raise
    except Unavailable as error:
        found = _appeared(client, titled, name, 0.0 if isinstance(error, RequestFailed) else APPEARING_SECONDS)
        if not found:
            raise
        log.info("Label Studio created project %r, though: %s", fields["title"], error)
        return found
    # Somebody who has no lease may have asked as well: all take the oldest.
    return _empty(client, titled(name)) or [asked["id"]]


def _appeared(client: Client, titled: Titled, name: str, seconds: float) -> Sequence[int]:
    deadline = time.monotonic() + seconds
    while not (found := _empty(client, titled(name))) and time.monotonic() < deadline:
        client.requests.stop.sleep(LOOK_SECONDS)
    return found


def _empty(client: Client, projects: Sequence[int]) -> Sequence[int]:
    """Return those without tasks: what a person has filled is not touched."""
    where = {one: f"/api/projects/{one}/" for one in projects}
    return [
        one
        for one, path in where.items()
        if not client.get(path, shapes.Filled, include="id,task_number")["task_number"]
    ]


def check_title(title: str) -> None:
    """Make sure of a title before a project is made that could not have it.

    :raises Invalid: it is too short or too long.
    """
    if len(title) < SHORTEST_TITLE:
        raise invalid(
            "title", title, "it is too short", f"Label Studio takes titles of at least {SHORTEST_TITLE} characters."
        )
    if len(title) > LONGEST_TITLE:
        remedy = f"Label Studio takes titles of no more than {LONGEST_TITLE} characters."
        raise invalid("title", title, f"it has {len(title)} characters", remedy)
