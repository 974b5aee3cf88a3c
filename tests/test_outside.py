"""A storage that another package brings: found by entry point, imported from, exported to, and refused by name."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.installed import PROJECTS, STORAGES, installed_schemes
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

OUTSIDE = Path(__file__).with_name("outside")
PROJECT = tomllib.loads((OUTSIDE / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]
ACME = ENTRY_POINTS[STORAGES.name]["acme"]
LABELED = b'{"data": {"text": "1"}, "annotations": [{"result": []}]}'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have packages installed, as far as Python sees it: a folder with their metadata is on its path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(
        name: str,
        value: str = ACME,
        *,
        group: str = STORAGES.name,
        scheme: str = "acme",
        extras: tuple[str, ...] = ("acme",),
    ) -> None:
        metadata = site / f"{name.replace('-', '_')}-{PROJECT['version']}.dist-info"
        metadata.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {PROJECT['version']}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{scheme} = {value}\n")

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
    acme |= {"in/a.json": LABELED, "in/b.json": LABELED, "in/c.json": b'{"text": "3"}'}
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


def test_projects_are_kept_by_a_store_of_another_package(
    install: Callable[..., None], connections: Any, connect: Callable[..., None], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(str(OUTSIDE))
    install("acme-projects", ENTRY_POINTS[PROJECTS.name]["acme"], group=PROJECTS.name)
    connect("labels", conn_type="label_studio", host=f"acme://{tmp_path}")
    connections.put("a.json", {"text": "1"})
    load = ImportStorageSyncOperator(
        task_id="load",
        source=connections.uri,
        project="Theirs",
        create_if_missing='<View><Text name="text" value="$text"/></View>',
        label_studio_conn_id="labels",
    )
    assert [load.execute({})["tasks_created"] for _ in range(2)] == [1, 0]
    assert (tmp_path / "acme.db").exists()


def test_a_project_store_of_two_packages_is_refused(install: Callable[..., None], connect: Callable[..., None]) -> None:
    connect("labels", conn_type="label_studio", host="https://labels.example.com", password="token")
    install("other-server", "other:Hook", group=PROJECTS.name, scheme="https")
    with pytest.raises(Invalid, match=r"Two packages have a project store for https:// each: labelsync-provider"):
        LabelStudioHook("labels").open_store()
