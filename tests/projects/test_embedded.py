"""Creating and finding the embedded projects of a database."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labelsync_provider.database import open_database
from labelsync_provider.errors import Invalid, NotFound
from labelsync_provider.projects.embedded import EmbeddedStore

pytest_plugins = ["servers.postgres"]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/labelsync.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(url: str) -> Iterator[EmbeddedStore]:
    engine = open_database(url)
    yield EmbeddedStore(engine)
    engine.dispose()


class TestCreateProject:
    def test_of_a_title_that_is_there_returns_that_project_as_it_is(self, store: EmbeddedStore) -> None:
        created = store.create_project("Pets", "<View/>")
        again = store.create_project("Pets", '<View><Image name="i" value="$i"/></View>', "another")
        assert (again.id, again.label_config) == (created.id, "<View/>")

    def test_at_once_by_many_who_find_an_empty_database_makes_one_project(self, url: str) -> None:
        start = threading.Barrier(8, timeout=10)

        def create(_: int) -> int:
            start.wait()
            engine = open_database(url)
            try:
                return EmbeddedStore(engine).create_project("Pets", "<View/>").id
            finally:
                engine.dispose()

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(create, range(8)))
        assert ids == ids[:1] * 8

    @pytest.mark.parametrize("title", ["", "  "])
    def test_without_a_title_is_invalid(self, store: EmbeddedStore, title: str) -> None:
        with pytest.raises(Invalid, match=r"title=.*Give one"):
            store.create_project(title, "<View/>")

    def test_with_a_label_config_that_is_no_xml_is_invalid_and_creates_nothing(self, store: EmbeddedStore) -> None:
        with pytest.raises(Invalid, match="label_config"):
            store.create_project("Pets", "<View>")
        with pytest.raises(NotFound):
            store.project("Pets")


class TestFindProject:
    def test_by_id_as_number_and_as_text_and_by_title(self, store: EmbeddedStore) -> None:
        created = store.create_project("Pets", "<View/>")
        assert [store.project(name).id for name in (created.id, str(created.id), "Pets")] == [created.id] * 3

    @pytest.mark.parametrize("title", ["pets", "Pets ", "Pet", "Pet%"])
    def test_takes_only_the_exact_title(self, store: EmbeddedStore, title: str) -> None:
        store.create_project("Pets", "<View/>")
        with pytest.raises(NotFound, match="no embedded project with this id or title"):
            store.project(title)

    def test_that_is_not_there_names_those_that_are(self, store: EmbeddedStore) -> None:
        store.create_project("Pets", "<View/>")
        store.create_project("Cars", "<View/>")
        with pytest.raises(NotFound, match=r"project='Boats'.*CreateProjectOperator.*'Pets', 'Cars'"):
            store.project("Boats")

    def test_in_an_empty_store_says_that_there_is_none_yet(self, store: EmbeddedStore) -> None:
        with pytest.raises(NotFound, match="none yet"):
            store.project(1)

    @pytest.mark.parametrize("number", [0, -1, 10**30, str(10**30), "²", "³4"], ids=str)
    def test_by_a_number_that_is_no_id_is_not_found(self, store: EmbeddedStore, number: int | str) -> None:
        with pytest.raises(NotFound, match="no embedded project"):
            store.project(number)

    def test_finds_a_title_of_digits(self, store: EmbeddedStore) -> None:
        created = store.create_project("2024", "<View/>")
        assert store.project("2024").id == created.id

    def test_by_digits_that_are_one_projects_id_and_anothers_title_is_ambiguous(self, store: EmbeddedStore) -> None:
        first = store.create_project("Pets", "<View/>")
        second = store.create_project(str(first.id), "<View/>")
        with pytest.raises(Invalid, match=r"id of one project and the title of another.*id as a number"):
            store.project(str(first.id))
        assert store.project(first.id).id == first.id
        assert store.project(second.id).id == second.id

    def test_whose_title_is_its_own_id_is_not_ambiguous(self, store: EmbeddedStore) -> None:
        created = store.create_project("1", "<View/>")
        assert created.id == 1
        assert store.project("1").id == 1
