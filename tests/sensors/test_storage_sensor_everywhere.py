"""The sensor for new objects over every storage: a set is waited for until it is whole; imported, it is not new."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from places import AzurePlace, Directory, GCSPlace, Place, RedisPlace, S3Place

from labelsync_provider.airflow_compat import AirflowSensorTimeout
from labelsync_provider.hooks.installed import installed_schemes
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.sensors.storage import NewObjectsSensor

pytest_plugins = ["servers.azure", "servers.redis", "servers.s3", "servers.sftp"]


def file(request: Any) -> tuple[str, Place]:
    folder = request.getfixturevalue("connections")
    return folder.uri, Directory(folder.path)


def s3(request: Any) -> tuple[str, Place]:
    server = request.getfixturevalue("weed")
    request.getfixturevalue("connect_s3")(server)
    bucket = server.create_bucket()
    return f"s3://{bucket}", S3Place(server, bucket)


def gs(request: Any) -> tuple[str, Place]:
    server = request.getfixturevalue("rclone_anonymous")
    request.getfixturevalue("connect_gcs")(server)
    bucket = server.create_bucket()
    return f"gs://{bucket}", GCSPlace(server, bucket)


def azure_blob(request: Any) -> tuple[str, Place]:
    server = request.getfixturevalue("azurite")
    request.getfixturevalue("connect_azure")(server)
    container = server.create_container()
    return f"azure-blob://{container}", AzurePlace(server, container)


def redis(request: Any) -> tuple[str, Place]:
    server = request.getfixturevalue("valkey")
    request.getfixturevalue("connect_redis")(server)
    return "redis://7/sensed/", RedisPlace(server, 7)


def sftp(request: Any) -> tuple[str, Place]:
    server = request.getfixturevalue("sftp_server")
    request.getfixturevalue("connect_sftp")(server)
    folder = server.root / "sensed"
    folder.mkdir()
    return "sftp:///sensed", Directory(folder)


PLACES: dict[str, Callable[[Any], tuple[str, Place]]] = {
    "file": file,
    "s3": s3,
    "gs": gs,
    "azure-blob": azure_blob,
    "redis": redis,
    "sftp": sftp,
}


# All of fsspec's are alike, and there is no server for each: `sftp` stands for them.
BY_FSSPEC = {"hf", "webdav"}


def test_is_every_storage() -> None:
    assert set(PLACES) == set(installed_schemes()) - BY_FSSPEC


OF_OTHER_SERVERS = {"azure-blob"}


@pytest.mark.parametrize(
    "scheme",
    [pytest.param(scheme, marks=pytest.mark.other_server if scheme in OF_OTHER_SERVERS else ()) for scheme in PLACES],
)
def test_waits_for_a_set_until_it_is_whole_and_for_nothing_that_was_imported(
    request: pytest.FixtureRequest, connections: Any, project: Any, scheme: str
) -> None:
    uri, place = PLACES[scheme](request)
    arguments = {"source": uri, "project": project.id}
    sensor = NewObjectsSensor(task_id="wait", **arguments, settle_seconds=1, poke_interval=0.1)
    below = uri.partition("://")[2].partition("/")[2] if scheme == "redis" else ""
    for name in ("a", "b"):
        place.put(f"{below}{name}.json", [{"text": name}])
    later = threading.Timer(0.4, place.put, (f"{below}c.json", [{"text": "c"}]))
    later.start()
    found = sensor.execute({})
    later.join()
    assert found == {"listed": 3, "matched": 3, "new": 3, "retriable": 0, "settled": True}

    assert ImportStorageSyncOperator(task_id="load", **arguments).execute({})["tasks_created"] == 3
    with pytest.raises(AirflowSensorTimeout):
        NewObjectsSensor(task_id="wait", **arguments, timeout=0).execute({})
