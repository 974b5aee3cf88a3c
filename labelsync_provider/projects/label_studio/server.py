"""A Label Studio server: which projects it has, found and created.

Source of what is said about its API: label-studio 1.23.2 and https://api.labelstud.io.
"""

from collections.abc import Callable
from contextlib import suppress

from labelsync_provider.errors import NotFound, Unusable, invalid
from labelsync_provider.projects.finding import the_one_named
from labelsync_provider.projects.label_studio import creation, shapes
from labelsync_provider.projects.label_studio.answers import NO_BASE
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project import DONE, LabelStudioProject
from labelsync_provider.projects.label_studio.project_storages import ProjectStorages
from labelsync_provider.projects.naming import title_of

MOST_PAGES = 1000
"""Of projects whose title contains a text, a hundred each."""


class LabelStudioServer:
    """The projects of one server; see `ProjectStore` and `HasOwnStorages`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uri = client.server

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def tried(self) -> str:
        """Return where projects live, which version it is and whose the token is.

        :raises Unusable: it is no Label Studio, or does not take the token.
        """
        version, user = self.client.version(), self.client.whoami()
        return f"Label Studio {version} at {self.client.url}; the token is that of {user['email']}."

    def storages_of(self, project_id: int) -> ProjectStorages:
        """Return the storages that a project has of its own."""
        return ProjectStorages(self.client, project_id)

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: Callable[[], None] | None = None
    ) -> LabelStudioProject:
        """Return the project of that title; create it if there is none. See `creation.create`."""
        title = title_of(title)
        if found := self.titled(title):
            return found
        fields = {"title": title, "label_config": label_config, "description": description}
        return LabelStudioProject(self.client, creation.create(self.client, self._ids_of, fields, confirm))

    def check_title(self, title: int | str) -> None:
        """Make sure that a project can have a title; see `creation.check_title`."""
        creation.check_title(title_of(title))

    def project(self, id_or_title: int | str) -> LabelStudioProject:
        """Return the project that is meant; see `the_one_named`.

        :raises NotFound: there is none.
        :raises Invalid: the title is that of several projects.
        :raises Unusable: it is no Label Studio that has none.
        """
        found = the_one_named(
            id_or_title, self._with_id, lambda title: self._titled(title, "project", "Give the id of one.")
        )
        if found is None:
            raise NotFound(
                f"project={id_or_title!r}: {self.client.url} has no project with this id or title that the user of the "
                "token may see. Create it with CreateProjectOperator, or correct it."
            )
        return found

    def titled(self, title: int | str) -> LabelStudioProject | None:
        """Return the project with exactly that title, whatever the ids; None if there is none.

        :raises Invalid: several projects have it.
        :raises Unusable: it is no Label Studio that has none.
        """
        return self._titled(title_of(title), "title", "Rename all but one of them, or delete those not needed.")

    def _titled(self, title: str, parameter: str, remedy: str) -> LabelStudioProject | None:
        found = self._ids_of(title)
        if len(found) > 1:
            ids = ", ".join(map(str, found))
            raise invalid(parameter, title, f"{len(found)} projects have this title: {ids}", remedy)
        if not found:
            # Another program that lists projects, and of which none is found, has none of that title either.
            self.client.check_base()
        return self._opened(found[0]) if found else None

    def _ids_of(self, title: str) -> list[int]:
        """Return the ids of the projects with exactly that title, the oldest first."""
        found: list[int] = []
        seen = set[int]()
        page, total = 1, 1
        while (page - 1) * 100 < total:
            # The server looks for projects whose title contains the text, whatever its case.
            answer = self.client.get(
                "/api/projects/", shapes.Projects, title=title, page=page, page_size=100, include="id,title"
            )
            ids = {project["id"] for project in answer["results"]}
            if len(ids) < len(answer["results"]) or ids & seen or page > MOST_PAGES:
                raise Unusable(f"{self.client.url}: the pages of its projects do not advance. {NO_BASE}")
            seen |= ids
            found += [project["id"] for project in answer["results"] if project["title"] == title]
            page, total = page + 1, answer["count"] if ids else 0
        return sorted(found)

    def _with_id(self, digits: str) -> LabelStudioProject | None:
        with suppress(NotFound):
            return self._opened(digits)
        return None

    def _opened(self, project_id: int | str) -> LabelStudioProject:
        # Of its own accord the server counts everything that can be counted.
        fields = f"id,title,label_config,created_at,{DONE}"
        project = self.client.get(f"/api/projects/{project_id}/", shapes.Project, include=fields)
        return LabelStudioProject(self.client, project)
