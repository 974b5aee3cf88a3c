"""The embedded store: which projects there are in the `[labelsync] database`, found and created."""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import ColumnElement, Engine, exists, insert, select
from sqlalchemy.exc import IntegrityError

from labelsync_provider.database import shown_url, writing
from labelsync_provider.database.schema import check_schema, ensure_schema
from labelsync_provider.errors import NotFound, invalid
from labelsync_provider.projects.embedded.project import EMBEDDED_STORE, EmbeddedProject
from labelsync_provider.projects.embedded.statements import this_instant
from labelsync_provider.projects.embedded.tables import PROJECT
from labelsync_provider.projects.finding import the_one_named
from labelsync_provider.projects.label_config import data_keys
from labelsync_provider.projects.naming import title_of

LONGEST_ID = 9
"""Digits."""
TITLES_TOLD = 10


class EmbeddedStore:
    """The embedded projects of one database; see `ProjectStore`."""

    def __init__(self, engine: Engine, *, read_only: bool = False, uri: str = EMBEDDED_STORE) -> None:
        """Open the store.

        :param uri: by which it is known; in another database than the `[labelsync] database`, one of its own.
        :param read_only: leave the schema of the database as it is. Where there are no tables yet, no project is found,
            and none can be created.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        :raises Unavailable: the schema cannot be brought to the newest now.
        """
        self._engine, self.uri = engine, uri
        self._has_tables = True
        if read_only:
            self._has_tables = check_schema(engine)
        else:
            ensure_schema(engine)

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: Callable[[], None] | None = None
    ) -> EmbeddedProject:
        """Return the project of that title; create it if there is none.

        :param confirm: called before something is changed; what it raises ends this.
        :raises Invalid: the title is empty, or the label config is no XML.
        """
        title = title_of(title)
        self.check_title(title)
        data_keys(label_config)
        if confirm:
            confirm()
        values = {
            "title": title,
            "label_config": label_config,
            "description": description,
            "created_at": this_instant(),
        }
        # Somebody else may create it between the look and the insert: then it is there, as asked.
        with suppress(IntegrityError), writing(self._engine) as connection:
            if not connection.scalar(select(exists().where(PROJECT.c.title == title))):
                connection.execute(insert(PROJECT).values(values))
        with self._engine.connect() as connection:
            row = connection.execute(select(PROJECT).where(PROJECT.c.title == title)).mappings().one()
        return EmbeddedProject(self._engine, row, self.uri)

    def check_title(self, title: int | str) -> None:
        """Make sure that a project can have a title.

        :raises Invalid: it is empty.
        """
        if not title_of(title):
            raise invalid("title", title, "a project needs a title", "Give one.")

    def titled(self, title: int | str) -> EmbeddedProject | None:
        """Return the project with exactly that title, whatever the ids; None if there is none."""
        return self._found(PROJECT.c.title == title_of(title))

    def project(self, id_or_title: int | str) -> EmbeddedProject:
        """Return the project that is meant; see `the_one_named`.

        :raises NotFound: there is none.
        """
        found = the_one_named(id_or_title, self._with_id, self.titled)
        if found is None:
            raise NotFound(
                f"project={id_or_title!r}: there is no embedded project with this id or title. Create it with "
                f"CreateProjectOperator, or use one of those there are: {self._titles()}."
            )
        return found

    def tried(self) -> str:
        """Return where projects live."""
        return f"Projects live in the embedded store, in {shown_url(self._engine.url)}."

    def _with_id(self, digits: str) -> EmbeddedProject | None:
        return self._found(PROJECT.c.id == int(digits)) if len(digits) <= LONGEST_ID else None

    def _found(self, condition: ColumnElement[bool]) -> EmbeddedProject | None:
        if not self._has_tables:
            return None
        with self._engine.connect() as connection:
            row = connection.execute(select(PROJECT).where(condition)).mappings().one_or_none()
        return EmbeddedProject(self._engine, row, self.uri) if row else None

    def _titles(self) -> str:
        """Return the titles of some projects that there are."""
        asked = select(PROJECT.c.title).order_by(PROJECT.c.id).limit(TITLES_TOLD + 1)
        if not self._has_tables:
            return "none yet"
        with self._engine.connect() as connection:
            titles = list(map(repr, connection.scalars(asked)))
        more = " and more" if len(titles) > TITLES_TOLD else ""
        return ", ".join(titles[:TITLES_TOLD]) + more or "none yet"
