"""Blanks and line breaks at the ends of what a person enters are taken off or refused, and never used."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.parameters import ExportParameters, ImportParameters, StorageParameters, options_of
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.operators.sources import sources_of
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync.options import make_options

ENDS = [" {}", "{} ", "{}\n", "\r\n{}\t", "\u00a0{}\u2028"]


@pytest.mark.parametrize("ends", ENDS, ids=repr)
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ImportParameters, {"source": "s3://bucket/photos", "project": "Pets", "source_conn_id": "aws_other"}),
        (ImportParameters, {"source": ["s3://bucket/photos", "/data"], "project": "7", "create_if_missing": "text"}),
        (ExportParameters, {"project": "Pets", "target": "/data/labels", "label_studio_conn_id": "studio"}),
        (StorageParameters, {"project": "Pets", "storage": "gs://bucket", "title": "Photos", "direction": "export"}),
    ],
    ids=["an import", "an import of several", "an export", "a storage of Label Studio's own"],
)
def test_are_taken_off_parameters(kind: Any, values: dict[str, Any], ends: str) -> None:
    entered = {
        name: [ends.format(one) for one in value] if isinstance(value, list) else ends.format(value)
        for name, value in values.items()
    }
    assert make_options(kind, **entered) == make_options(kind, **values)


def test_are_taken_off_a_list_that_is_a_text() -> None:
    assert sources_of('["s3://a\\n", " s3://b"]\n', None) == ["s3://a", "s3://b"]


def test_are_taken_off_what_an_operator_is_given(connections: Any, target: Any, engine: Any) -> None:
    project = CreateProjectOperator(task_id="project", title="Pets \n", label_config="<View/>").execute({})
    again = CreateProjectOperator(task_id="project", title="Pets", label_config="<View/>").execute({})
    assert project == again
    connections.put("a.json", {"data": {"text": "1"}, "annotations": [{"result": []}]})
    loading = ImportStorageSyncOperator(task_id="load", source=f"{connections.uri}\n", project=" Pets")
    assert loading.execute({})["tasks_created"] == 1
    saving = ExportAnnotationsOperator(task_id="save", target=f"{target.uri} ", project="Pets\n")
    assert saving.execute({})["written"] == 1
    assert len(target.names()) == 1
    assert options_of(loading, ImportParameters).source == connections.uri


def test_are_taken_off_a_title(connections: Any, engine: Any) -> None:
    assert LabelStudioHook().create_project(" Pets\n", "<View/>").title == "Pets"
    assert LabelStudioHook().get_project("\tPets ").id == EmbeddedStore(engine).project("Pets").id


@pytest.mark.parametrize(
    "uri", ["s3://bucket/photos ", "gs://bucket/a\n", "redis://1/in/\r\n", " /data", "file:///data\t"]
)
def test_are_refused_in_a_uri_that_a_hook_is_given(uri: str) -> None:
    with pytest.raises(Invalid, match=r"source='.*begins or ends with a blank or a line break\. Take that out"):
        storage_hook("source", uri)


@pytest.mark.parametrize("end", [" ", "\n"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "azure-blob", "redis"])
def test_are_refused_by_each_hook_itself(scheme: str, end: str) -> None:
    uri = f"{scheme}://1" if scheme == "redis" else f"{scheme}://bucket"
    with pytest.raises(Invalid, match=r"target='.*begins or ends with a blank or a line break"):
        storage_hook("target", uri).get_target(f"{uri}/labels{end}")


def test_of_a_file_are_refused_unless_they_are_written_as_such(tmp_path: Any) -> None:
    with pytest.raises(Invalid, match="begins or ends with a blank"):
        LocalFiles(f"{tmp_path}/in ", str(tmp_path))
    assert LocalFiles(f"file://{tmp_path}/in%20", str(tmp_path)).path == f"{tmp_path}/in "


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("host", {"host": "https://labels.example.com\n"}),
        ("login", {"login": " ann"}),
        ("password", {"password": "a-secret-word\n"}),
        ("schema", {"schema": "labels "}),
        ("endpoint_url", {"extra": {"endpoint_url": "http://localhost:9000\n", "region_name": "us-east-1"}}),
        ("path", {"extra": {"path": "/data "}}),
        ("host, password", {"host": "a ", "password": "a-secret-word "}),
    ],
)
def test_are_refused_in_a_connection_and_the_value_is_not_shown(
    connect: Callable[..., None], field: str, fields: dict[str, Any]
) -> None:
    connect("mine", conn_type="generic", **fields)
    with pytest.raises(Invalid) as caught:
        get_connection("mine", "")
    said = f"Connection 'mine': {field} begins or ends with a blank or a line break. Take that out there."
    assert str(caught.value) == said


def test_of_a_key_file_in_a_connection_mean_nothing(connect: Callable[..., None]) -> None:
    connect("mine", conn_type="google_cloud_platform", extra={"keyfile_dict": json.dumps({"type": "x"}) + "\n"})
    assert get_connection("mine", "").conn_id == "mine"
