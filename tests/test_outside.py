"""A storage that another package brings: found by entry point, imported from, exported to, and refused by name."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labelsync_provider.database import open_database
from labelsync_provider.errors import Invalid, LabelsyncError, Unavailable, Unusable
from labelsync_provider.hooks.installed import PROJECTS, STORAGES, installed_schemes
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.outside import OF_STORAGES, OF_TARGETS, OutsideHook, OutsideStorage, wrong_in
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import HoldsFiles, MadeByWrites, ObjectInfo, Signing

OUTSIDE = Path(__file__).with_name("outside")
PROJECT = tomllib.loads((OUTSIDE / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]
ACME = ENTRY_POINTS[STORAGES.name]["acme"]
LABELED = b'{"data": {"text": "1"}, "annotations": [{"result": []}]}'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have packages installed, as far as Python sees it: a folder with the metadata of each is on its path."""

    def install(
        name: str,
        value: str = ACME,
        *,
        group: str = STORAGES.name,
        scheme: str = "acme",
        extras: tuple[str, ...] = ("acme",),
    ) -> None:
        site = tmp_path / f"site of {name}"
        metadata = site / f"{name.replace('-', '_')}-{PROJECT['version']}.dist-info"
        metadata.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {PROJECT['version']}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{scheme} = {value}\n")
        monkeypatch.syspath_prepend(str(site))

    return install


@pytest.fixture
def acme(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The package of `outside`, installed, with no objects yet."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    install(PROJECT["name"], extras=tuple(PROJECT["optional-dependencies"]))
    from acme_labelsync.storage import OBJECTS

    OBJECTS.clear()
    yield OBJECTS
    for name in [name for name in sys.modules if name.startswith("acme_labelsync")]:
        del sys.modules[name]


def test_is_imported_from_and_exported_to(acme: dict[str, bytes], connections: Any, project: Any) -> None:
    acme |= {"in/a.json": LABELED, "in/b.json": LABELED, "in/c.csv": b"text\n3\n"}
    load = ImportStorageSyncOperator(task_id="load", source="acme://in", project=project.id)
    assert [load.execute({})["tasks_created"] for _ in range(2)] == [3, 0]
    save = ExportAnnotationsOperator(task_id="save", target="acme://out", project=project.id)
    assert save.execute({})["written"] == 2
    assert len([path for path in acme if path.startswith("out/")]) == 2


def test_is_told_of_where_an_unknown_one_is_named(install: Callable[..., None]) -> None:
    assert "acme" not in installed_schemes()
    with pytest.raises(Invalid, match="source='acme://in': unknown scheme 'acme'"):
        storage_hook("source", "acme://in")
    install("acme-labelsync")
    with pytest.raises(Invalid, match=r"unknown scheme 'acne'. Use one of acme://, azure-blob://, file://"):
        storage_hook("source", "acne://in")


def test_of_two_packages_is_refused_by_the_names_of_both(install: Callable[..., None]) -> None:
    install("acme-labelsync")
    install("other-acme", "other_acme:Hook")
    with pytest.raises(
        Invalid,
        match=r"^Two packages have a storage for acme:// each: acme-labelsync 1.0 \(acme_labelsync.hooks:\w+\)"
        r" and other-acme 1.0 \(other_acme:Hook\)\..* Uninstall one of them",
    ):
        storage_hook("source", "acme://in")


def test_of_our_own_cannot_be_taken_over(install: Callable[..., None]) -> None:
    install("other-s3", "other_s3:Hook", scheme="s3")
    with pytest.raises(Invalid, match=r"labelsync-provider .* and other-s3 1.0"):
        storage_hook("source", "s3://bucket")


@pytest.mark.parametrize(
    ("extras", "remedy"),
    [
        (("acme",), r'pip install "acme-labelsync\[acme\]"'),
        (("shelf", "all"), r'pip install "acme-labelsync\[\.\.\.\]", with one of its extras: shelf, all\.'),
        ((), r"The package has no extras: install what it needs, or another version of it"),
    ],
)
def test_that_cannot_be_imported_names_package_and_extra(
    install: Callable[..., None], extras: tuple[str, ...], remedy: str
) -> None:
    install("acme-labelsync", "no_such_module:Hook", extras=extras)
    whose = r"^The storage for acme:// is no_such_module:Hook of the package acme-labelsync 1.0, which cannot be "
    with pytest.raises(Invalid, match=rf"{whose}imported: ModuleNotFoundError: No module .*{remedy}"):
        storage_hook("source", "acme://in")


def test_that_is_no_hook_is_refused(install: Callable[..., None]) -> None:
    install("acme-labelsync", "json:dumps")
    with pytest.raises(
        Invalid, match=r"acme-labelsync 1.0, which is no hook .* it has no conn_name_attr, default_conn_name, get_"
    ):
        storage_hook("source", "acme://in")


class Wrong:
    """A storage that answers every question as a test says, or fails over it."""

    uri, location = "acme://in", Location("acme://in", "acme")

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def _told(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    list = covers = object_uri = path_of = read = read_start = has = write = delete = _told


def looked_at(answer: Any) -> Any:
    return OutsideStorage(Wrong(answer), "acme.Hook", OF_STORAGES)


GOOD = ObjectInfo("a", 1, "v")


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ([GOOD], None),
        ([], None),
        ([GOOD, ObjectInfo("b", 0, "", "it is no file")], None),
        ([GOOD, ObjectInfo("b", 1, None)], "'b' with the version None, and no text that changes"),  # type: ignore[arg-type]
        ([ObjectInfo("b", 1, "")], "'b' with the version ''"),
        ([ObjectInfo("b", 1, 7)], "'b' with the version 7"),  # type: ignore[arg-type]
        ([ObjectInfo("b", None, "v")], "'b' with the size None"),  # type: ignore[arg-type]
        ([ObjectInfo("", 1, "v")], "an object whose key is ''"),
        ([ObjectInfo(b"b", 1, "v")], "an object whose key is a value of type bytes"),  # type: ignore[arg-type]
        ([{"key": "b"}], "a value of type dict, and no ObjectInfo"),
        ((GOOD,), "a value of type tuple, and no list of ObjectInfo"),
        (GOOD, "a value of type ObjectInfo, and no list"),
    ],
)
def test_a_page_is_what_the_protocol_asks_or_refused_by_the_key(page: Any, wrong: str | None) -> None:
    if wrong is None:
        assert (wrong_in(page), list(looked_at([page]).list())) == (None, [page])
        return
    assert wrong in str(wrong_in(page))
    with pytest.raises(Unusable, match=r"^acme://in \(Wrong, opened by acme\.Hook\): list\(\) yields .*Correct the"):
        list(looked_at([page]).list())


@pytest.mark.parametrize(
    ("name", "args", "good", "bad"),
    [
        ("read", ("a",), b"1", None),
        ("read", ("a",), b"", "1"),
        ("read_start", ("a", 9), b"1", None),
        ("write", ("a", b"1"), "v", None),
        ("write", ("a", b"1"), "v", ""),
        ("has", ("a",), False, None),
        ("covers", ("a",), True, None),
        ("object_uri", ("a",), "acme://in/a", None),
        ("path_of", ("acme://in/a",), None, 7),
    ],
)
def test_an_answer_is_what_the_protocol_asks_or_refused_by_method_and_key(
    name: str, args: tuple[Any, ...], good: Any, bad: Any
) -> None:
    assert getattr(looked_at(good), name)(*args) == good
    with pytest.raises(Unusable, match=rf"acme\.Hook\): {name}\('{args[0]}'\) returned .*, and not .*\.protocol"):
        getattr(looked_at(bad), name)(*args)


@pytest.mark.parametrize("name", ["list", *OF_STORAGES])
def test_an_error_that_is_none_of_ours_names_the_place_and_not_what_it_says(name: str) -> None:
    storage = looked_at(RuntimeError("token=hunter2"))
    with pytest.raises(Unavailable, match=rf"{name}\(.*\) raised RuntimeError, in {__file__}, line ") as caught:
        list(storage.list()) if name == "list" else getattr(storage, name)("a")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(LabelsyncError, match="as it is"):
        next(looked_at(Invalid("as it is")).list())


def test_a_listing_that_is_none_is_refused() -> None:
    with pytest.raises(Unusable, match=r"acme\.Hook\): list\(\) returned None, and not pages"):
        next(looked_at(None).list())


def test_what_only_some_can_do_is_there_where_it_was(acme: dict[str, bytes]) -> None:
    storage = storage_hook("source", "acme://in").get_source("acme://in")
    assert [isinstance(storage, kind) for kind in (HoldsFiles, Signing, MadeByWrites)] == [True, False, False]
    assert not isinstance(looked_at(None), HoldsFiles)


def test_what_is_no_storage_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(Unusable, match=r"^acme\.Hook opened what is no storage: it has no uri, location, list, read, "):
        OutsideStorage(None, "acme.Hook", OF_TARGETS)
    wrong = Wrong(None)
    wrong.location = "acme://in"  # type: ignore[assignment]
    with pytest.raises(Unusable, match=r"its location is a value of type str, and no Location"):
        OutsideStorage(wrong, "acme.Hook", OF_TARGETS)


def test_a_hook_that_cannot_be_made_is_named() -> None:
    def hook(conn_id: str) -> None:
        raise KeyError("hunter2")

    with pytest.raises(Unavailable, match=r"hook: with connection 'c' raised KeyError, in ") as caught:
        OutsideHook.made(hook, "c")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("name", "uri"), [("zip_f", "zip_f://x"), ("ZipU", "zipu://x"), ("ZipU", "ZipU://x")])
def test_a_name_that_is_no_scheme_is_refused_and_not_offered(install: Callable[..., None], name: str, uri: str) -> None:
    install("acme-labelsync", scheme=name)
    with pytest.raises(Invalid, match=rf"^The storage '{name}' of the package acme-labelsync 1.0 .*RFC 3986"):
        storage_hook("source", uri)
    with pytest.raises(Invalid) as caught:
        storage_hook("source", "nothing://x")
    assert name not in str(caught.value)


def test_a_host_that_names_no_store_is_told_which_are_installed(
    install: Callable[..., None], connect: Callable[..., None]
) -> None:
    install("acme-projects", group=PROJECTS.name)
    connect("labels", conn_type="label_studio", host="acne://x")
    with pytest.raises(Invalid, match=r"host='acne://x'.*installed are stores for acme, embedded, http, https\."):
        LabelStudioHook("labels").open_store()


def test_a_store_with_the_uri_of_the_embedded_one_is_refused(
    install: Callable[..., None], connect: Callable[..., None], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(str(OUTSIDE))
    install("acme-projects", ENTRY_POINTS[PROJECTS.name]["acme"], group=PROJECTS.name)
    connect("labels", conn_type="label_studio", host=f"acme://{tmp_path}")
    from acme_labelsync.projects import AcmeProjects

    same = EmbeddedStore(open_database(f"sqlite:///{tmp_path}/acme.db"))
    monkeypatch.setattr(AcmeProjects, "open_store", lambda self, **kwargs: same)
    with pytest.raises(Invalid, match=r"uri='embedded:/': acme_labelsync.projects.AcmeProjects opens .* uri='acme://"):
        LabelStudioHook("labels").open_store()


def _secretive(*_: Any, **__: Any) -> Any:
    raise RuntimeError("s3cret")


@pytest.mark.parametrize(
    ("opens", "said"),
    [
        pytest.param(lambda *_, **__: None, r"^acme_\S+AcmeProjects: open_store\(\) returned None, ", id="nothing"),
        pytest.param(_secretive, r"^acme_\S+AcmeProjects: open_store\(\) raised RuntimeError, in ", id="raises"),
    ],
)
def test_a_package_that_opens_no_store_is_named(
    install: Callable[..., None], connect: Callable[..., None], opens: Any, said: str, monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(str(OUTSIDE))
    install("acme-projects", ENTRY_POINTS[PROJECTS.name]["acme"], group=PROJECTS.name)
    connect("labels", conn_type="label_studio", host="acme://x")
    monkeypatch.setattr("acme_labelsync.projects.AcmeProjects.open_store", opens)
    with pytest.raises(LabelsyncError, match=said) as caught:
        LabelStudioHook("labels").open_store()
    assert "s3cret" not in str(caught.value)


def test_projects_are_kept_by_a_store_of_another_package(
    install: Callable[..., None], connections: Any, connect: Callable[..., None], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(str(OUTSIDE))
    install("acme-projects", ENTRY_POINTS[PROJECTS.name]["acme"], group=PROJECTS.name)
    connect("labels", conn_type="label_studio", host=f"acme://{tmp_path}")
    connections.put("a.json", {"text": "1"})
    for where in ("label_studio_default", "labels"):  # in both, the project has the same id
        load = ImportStorageSyncOperator(
            task_id="load",
            source=connections.uri,
            project="Theirs",
            create_if_missing='<View><Text name="text" value="$text"/></View>',
            label_studio_conn_id=where,
        )
        assert [load.execute({})["tasks_created"] for _ in range(2)] == [1, 0]
    assert (tmp_path / "acme.db").exists()


def test_a_project_store_of_two_packages_is_refused(install: Callable[..., None], connect: Callable[..., None]) -> None:
    connect("labels", conn_type="label_studio", host="https://labels.example.com", password="token")
    install("other-server", "other:Hook", group=PROJECTS.name, scheme="https")
    with pytest.raises(Invalid, match=r"Two packages have a project store for https:// each: labelsync-provider"):
        LabelStudioHook("labels").open_store()
