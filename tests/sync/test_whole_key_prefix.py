"""A source whose prefix is the whole key of an object, or ends in a character that hardly any other comes behind."""

from typing import Any

import pytest
from importing import Importing, lines, some, texts
from model.bucket import Bucket
from model.worlds import EmbeddedWorld
from places import AzurePlace, GCSPlace, RedisPlace, S3Place
from sqlalchemy import Engine

from labelsync_provider.database import open_database

pytest_plugins = ["servers.azure", "servers.postgres", "servers.redis", "servers.s3"]

DELETE: dict[str, Any] = {"on_missing": "delete", "max_delete": 100}


def assert_known_and_then_missing(run: Importing, prefix: str, key: str, beside: str) -> None:
    """Import objects of two keys that begin with a prefix; then take one away."""
    run.source.put(key, lines(*texts("1", "2")).encode())
    run.source.put(beside, lines(*texts("beside")).encode())
    assert some(run(prefix)) == {"new": 3, "tasks_created": 3}
    assert some(run(prefix), "bytes_read") == {"unchanged": 3}
    run.source.put(key, lines(*texts("1")).encode())
    assert some(run(prefix)) == {"unchanged": 2, "missing": 1}
    run.source.delete(key)
    assert some(run(prefix)) == {"unchanged": 1, "missing": 2}
    assert some(run(prefix, **DELETE)) == {"unchanged": 1, "missing": 2, "tasks_deleted": 2}
    assert some(run(prefix, **DELETE)) == {"unchanged": 1}


@pytest.mark.parametrize("place", ["S3", "GCS", "Azure", "Redis"])
def test_object_whose_whole_key_is_the_prefix_is_read_once_and_can_be_missing(
    place: str, request: pytest.FixtureRequest, engine: Engine
) -> None:
    def server(name: str) -> Any:
        return request.getfixturevalue(name)

    opened: Any = {
        "S3": lambda: S3Place(server("rclone"), server("rclone").create_bucket()),
        "GCS": lambda: GCSPlace(server("rclone_anonymous"), server("rclone_anonymous").create_bucket()),
        "Azure": lambda: AzurePlace(server("azurite"), server("azurite").create_container()),
        "Redis": lambda: RedisPlace(server("valkey")),
    }[place]()
    run = Importing(opened, EmbeddedWorld(engine), engine)
    assert_known_and_then_missing(run, "in/tasks.jsonl", "in/tasks.jsonl", "in/tasks.jsonl.gz/more.jsonl")


@pytest.mark.parametrize(
    ("last", "behind"),
    [("\ud7ff", "p\ue000"), ("\U0010ffff", "q"), ("\uffff", "p\U00010000"), ("z", "p{")],
    ids=ascii,
)
def test_objects_below_a_prefix_that_ends_in_any_character_are_known(last: str, behind: str, database_url: str) -> None:
    engine = open_database(database_url)
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put(behind, lines(*texts("behind")))
    run()
    assert_known_and_then_missing(run, f"p{last}", f"p{last}", f"p{last}\U0010ffff/a.jsonl")
    assert some(run()) == {"unchanged": 2}
    assert sorted(run.texts()) == ["behind", "beside"]
    engine.dispose()
