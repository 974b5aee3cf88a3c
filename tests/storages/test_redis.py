"""What only Redis has: types, patterns, scans that repeat keys, values that expire, users who may do some things."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from servers.redis import RedisServer, running_valkey, write_certificate

from labelsync_provider.errors import Denied, Invalid, NotFound, TooLarge, Unusable
from labelsync_provider.hooks.redis import RedisStorageHook
from labelsync_provider.storages import redis as redis_storage
from labelsync_provider.storages import redis_kept, redis_values
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.storages.redis import RedisStorage

pytest_plugins = ["servers.redis"]


@pytest.fixture
def server(valkey: RedisServer, connect_redis: Callable[..., None]) -> RedisServer:
    """An empty server, which is the default connection's."""
    connect_redis(valkey)
    return valkey


@pytest.fixture
def storage(server: RedisServer) -> RedisStorage:
    return opened()


def opened(uri: str = "redis://1/", **options: Any) -> RedisStorage:
    return RedisStorageHook()._open("source", uri, None, **options)


def listed(storage: RedisStorage) -> list[ObjectInfo]:
    return [info for page in storage.list() for info in page]


def keys(storage: RedisStorage) -> list[str]:
    return [info.key for info in listed(storage)]


class TestPath:
    @pytest.mark.parametrize(
        ("path", "beside"),
        [
            ("a*", "ab"),
            ("a?", "ab"),
            ("a[x]", "ax"),
            ("a[^b]", "ac"),
            ("a[a-c]", "ab"),
            ("a\\", "ab"),
            ("a\\*", "a*"),
            ("a[", "ab"),
            ("a]", "ab"),
            ("^a", "ba"),
            ("a*[x]?\\^/é😀 %20", "ab"),
        ],
    )
    def test_is_taken_as_it_is_written(self, server: RedisServer, path: str, beside: str) -> None:
        server.client(1).mset({path + "/1": "1", path + "*": "1", beside + "/1": "1", beside: "1"})
        assert keys(opened(f"redis://1/{path}")) == sorted([path + "*", path + "/1"])

    def test_that_is_empty_means_the_whole_database(self, server: RedisServer) -> None:
        server.client(1).mset({"a": "1", "b/c": "1", "/d": "1"})
        assert keys(opened("redis://1/")) == keys(opened("redis://1")) == ["/d", "a", "b/c"]

    @pytest.mark.parametrize("db", [0, 15])
    def test_is_of_the_database_that_the_uri_names(self, server: RedisServer, db: int) -> None:
        for other in (0, 1, 15):
            server.client(other).set(f"in-{other}", "1")
        storage = opened(f"redis://{db}/")
        assert keys(storage) == [f"in-{db}"]
        storage.write("new", b"1")
        assert server.client(db).get("new") == b"1"
        assert server.client(1).get("new") is None

    def test_is_of_the_uris_database_whatever_the_connection_says(
        self, server: RedisServer, connect_redis: Callable[..., None]
    ) -> None:
        connect_redis(server, db=3)
        server.client(3).set("a", "3")
        server.client(7).set("b", "7")
        assert keys(opened("redis://7/")) == ["b"]


class TestTypes:
    def test_string_is_read_as_it_is(self, server: RedisServer, storage: RedisStorage) -> None:
        content = bytes(range(256))
        server.client(1).set("a", content)
        assert [(info.key, info.size, info.problem) for info in listed(storage)] == [("a", 256, None)]
        assert storage.read("a") == content

    def test_hash_is_the_data_of_a_task(self, server: RedisServer, storage: RedisStorage) -> None:
        server.client(1).hset("a", mapping={"text": 'é "quoted"', "image": "s3://b/1.jpg"})
        ((info,),) = storage.list()
        content = storage.read("a")
        assert json.loads(content) == {"data": {"text": 'é "quoted"', "image": "s3://b/1.jpg"}}
        assert (info.size, info.problem) == (len(content), None)

    def test_hash_has_the_same_version_in_whatever_order_it_was_filled(
        self, server: RedisServer, storage: RedisStorage
    ) -> None:
        fields = {f"field{n}": str(n) for n in range(20)}
        server.client(1).hset("a", mapping=fields)  # type: ignore[arg-type]
        server.client(1).hset("b", mapping=dict(reversed(fields.items())))
        first, second = listed(storage)
        assert first.version == second.version

    def test_hash_has_another_version_when_a_field_changes(self, server: RedisServer, storage: RedisStorage) -> None:
        server.client(1).hset("a", "text", "1")
        before = listed(storage)
        server.client(1).hset("a", "text", "2")
        assert listed(storage)[0].version != before[0].version

    def test_hash_has_another_version_than_the_string_of_its_task(
        self, server: RedisServer, storage: RedisStorage
    ) -> None:
        server.client(1).hset("a", "text", "1")
        server.client(1).set("b", storage.read("a"))
        first, second = listed(storage)
        assert first.version != second.version

    @pytest.mark.parametrize(
        ("kind", "fill"),
        [
            ("list", lambda client: client.rpush("odd", "1")),
            ("set", lambda client: client.sadd("odd", "1")),
            ("zset", lambda client: client.zadd("odd", {"1": 1})),
            ("stream", lambda client: client.xadd("odd", {"a": "1"})),
        ],
    )
    def test_other_type_is_listed_with_its_name_and_not_read(
        self, server: RedisServer, storage: RedisStorage, kind: str, fill: Callable[[Any], object]
    ) -> None:
        fill(server.client(1))
        server.client(1).set("plain", "1")
        odd, plain = listed(storage)
        assert odd.problem == f"it is a {kind}, not a string or a hash"
        assert (plain.key, plain.problem) == ("plain", None)
        with pytest.raises(Invalid, match=f"odd: it is a {kind}"):
            storage.read("odd")

    @pytest.mark.parametrize("fields", [{b"text": b"\xff"}, {b"\xff": b"text"}])
    def test_hash_that_is_not_utf_8_is_listed_and_not_read(
        self, server: RedisServer, storage: RedisStorage, fields: dict[Any, Any]
    ) -> None:
        server.client(1).hset("a", mapping=fields)
        ((info,),) = storage.list()
        assert info.problem == "a field or value of the hash is not UTF-8"
        with pytest.raises(Invalid, match="a: a field or value of the hash is not UTF-8"):
            storage.read("a")


class TestKeys:
    def test_that_is_not_utf_8_is_listed_with_what_to_do(self, server: RedisServer, storage: RedisStorage) -> None:
        server.client(1).mset({b"in/\xff": "1", "in/a": "1"})  # type: ignore[type-var]
        problems = {info.key: info.problem for info in listed(storage)}
        assert problems == {"in/a": None, "in/\\xff": "its key is not UTF-8; rename it"}

    @pytest.mark.parametrize(
        ("key", "listed_as", "problem"),
        [
            (b"a\0b", "a\\x00b", "its key holds a NUL character; rename it"),
            (b"k" * 3000, "k" * 200 + "...", "its key has 3,000 bytes, more than 2,500; shorten it"),
        ],
        ids=["NUL", "too long"],
    )
    def test_that_no_database_takes_is_listed_by_another_with_what_to_do(
        self, server: RedisServer, storage: RedisStorage, key: bytes, listed_as: str, problem: str
    ) -> None:
        server.client(1).mset({key: "1", b"good": "1"})
        odd, good = sorted(listed(storage), key=lambda info: info.problem or "~")
        assert odd.key.startswith(listed_as)
        assert odd.problem == problem
        assert (good.key, good.problem) == ("good", None)

    def test_that_spells_another_that_is_not_utf_8_is_itself(self, server: RedisServer, storage: RedisStorage) -> None:
        server.client(1).mset({b"\xff": "1", "\\xff": "2"})  # type: ignore[type-var]
        assert [info.key for info in listed(storage) if not info.problem] == ["\\xff"]

    def test_are_listed_once_however_often_the_scan_shows_them(
        self, server: RedisServer, storage: RedisStorage
    ) -> None:
        steady = [f"steady-{n:05}" for n in range(10_000)]
        server.client(1).mset(dict.fromkeys(steady, "1"))
        over = threading.Event()

        def grow_and_shrink() -> None:
            client = server.client(1)
            for n in count():
                passing = [f"passing-{n}-{m}" for m in range(30_000)]
                for start in range(0, len(passing), 3000):
                    client.mset(dict.fromkeys(passing[start : start + 3000], "1"))
                for start in range(0, len(passing), 3000):
                    client.unlink(*passing[start : start + 3000])
                if over.is_set():
                    return

        thread = threading.Thread(target=grow_and_shrink)
        thread.start()
        try:
            for _ in range(3):
                found = keys(storage)
                assert len(found) == len(set(found))
                assert [key for key in found if key.startswith("steady")] == steady
        finally:
            over.set()
            thread.join()

    def test_that_the_scan_repeats_are_listed_once(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.client(1).mset(dict.fromkeys(["a", "b", "c"], "1"))
        scan = storage._client.scan
        monkeypatch.setattr(storage._client, "scan", lambda *how: (scan(*how)[0], 2 * scan(*how)[1]))
        assert keys(storage) == ["a", "b", "c"]

    def test_gone_since_the_scan_are_left_out(self, server: RedisServer, storage: RedisStorage) -> None:
        client = server.client(1)
        client.mset({f"{n:04}": "1" for n in range(1200)})
        client.pexpire("0900", 60_000)
        pages = storage.list()
        first = next(pages)
        client.unlink("0700", "0800")
        client.pexpire("0900", 1)
        time.sleep(0.01)
        rest = [info.key for page in pages for info in page]
        assert len(first) == 500
        assert len(rest) == 700 - 3
        assert not {"0700", "0800", "0900"} & set(rest)

    def test_gone_since_the_listing_is_not_found_unless_it_was_kept_with_it(
        self, server: RedisServer, storage: RedisStorage
    ) -> None:
        server.client(1).set("a", "1")
        listed(storage)
        server.client(1).unlink("a")
        assert storage.read("a") == b"1"
        with pytest.raises(NotFound, match="there is no key a"):
            storage.read("a")

    def test_changed_since_the_listing_is_read_as_it_was_listed_and_then_as_it_is(
        self, server: RedisServer, storage: RedisStorage
    ) -> None:
        server.client(1).set("a", "1")
        listed(storage)
        server.client(1).set("a", "2")
        assert [storage.read("a"), storage.read("a")] == [b"1", b"2"]


class TestCost:
    def test_no_command_is_keys(self, server: RedisServer, storage: RedisStorage) -> None:
        client = server.client()
        client.config_resetstat()
        for n in range(10):
            storage.write(f"in/{n}", b"1")
        for key in keys(storage):
            storage.read(key)
        storage.delete([f"in/{n}" for n in range(10)])
        commands = set(client.info("commandstats"))
        assert "cmdstat_keys" not in commands
        assert {"cmdstat_scan", "cmdstat_getrange", "cmdstat_set", "cmdstat_unlink"} <= commands

    def test_listing_goes_to_the_server_a_few_times_and_not_for_every_key(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.client(1).mset({f"tasks/{n:04}": "1" for n in range(2000)})
        # Counted where they are sent: into how many pieces a busy server reads them is not ours to say.
        sent: list[Any] = []
        send = redis.Connection.send_packed_command

        def counted(connection: redis.Connection, command: Any, *given: Any, **named: Any) -> None:
            sent.append(command)
            send(connection, command, *given, **named)

        monkeypatch.setattr(redis.Connection, "send_packed_command", counted)
        assert len(listed(storage)) == 2000
        assert len(sent) < 25

    def test_what_was_listed_is_read_without_the_server(self, server: RedisServer, storage: RedisStorage) -> None:
        client = server.client(1)
        client.mset({f"tasks/{n:04}": "1" for n in range(500)})
        found = keys(storage)
        before = client.info("stats")["total_commands_processed"]
        assert [storage.read(key) for key in found] == [b"1"] * 500
        assert client.info("stats")["total_commands_processed"] - before == 1

    def test_what_is_kept_is_bounded(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_kept, "KEPT_BYTES", 10_000)
        server.client(1).mset({f"{n:04}": "x" * 1000 for n in range(100)})
        found = keys(storage)
        assert sum(map(len, storage._kept._contents.values())) == storage._kept.size <= 10_000
        assert [storage.read(key) for key in found] == [b"x" * 1000] * 100

    def test_string_that_is_too_large_is_listed_and_not_read(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_storage, "LARGEST", 1000)
        server.client(1).mset({"large": "x" * 1001, "small": "x" * 1000})
        assert [(info.key, info.size) for info in listed(storage)] == [("large", 1001), ("small", 1000)]
        assert storage.read("small") == b"x" * 1000
        with pytest.raises(Invalid, match="large: more than 1,000 bytes"):
            storage.read("large")

    def test_hash_that_is_too_large_is_listed_and_not_read(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_values, "LARGEST_HASH", 1000)
        server.client(1).hset("large", "text", "x" * 1001)
        (info,) = listed(storage)
        assert re.match(
            r"it is too large, 1,\d{3} bytes in the server, and a hash may have 1,000\. Split it", info.problem or ""
        )
        with pytest.raises(Invalid, match=r"large: it is too large"):
            storage.read("large")

    def test_values_that_grow_while_a_listing_reads_them_are_not_read_with_others(
        self, server: RedisServer, storage: RedisStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.client(1).mset({"a": "1", "b": "1", "c": "1"})
        read: list[Any] = []
        command_of = redis_values.reading

        def reading(told: Any, limit: int) -> Any:
            server.client(1).set("b", "x" * 1_000_000)
            read.append(limit)
            return command_of(told, limit)

        monkeypatch.setattr(redis_values, "reading", reading)
        found = {info.key: (info.size, info.version) for info in listed(storage)}
        assert found["b"] == (2, "grown"), "no more than a byte above what it was said to have"
        assert read == [1, 1, 1]
        assert storage.read("b") == b"x" * 1_000_000

    def test_no_more_is_read_of_a_string_than_it_may_have(self, server: RedisServer, storage: RedisStorage) -> None:
        server.client(1).set("a", "x" * 1_000_000)
        before = server.client().info("stats")["total_net_output_bytes"]
        with pytest.raises(TooLarge):
            storage.read("a", most=1000)
        assert server.client().info("stats")["total_net_output_bytes"] - before < 100_000

    def test_connection_that_was_closed_is_opened_again(self, server: RedisServer, storage: RedisStorage) -> None:
        storage.write("a", b"1")
        server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert storage.read("a") == b"1"


PASSWORD = "sesame-open-sesame"
ALL = "~* +@all"


class TestLogin:
    def test_by_a_password(self, connect_redis: Callable[..., None]) -> None:
        with running_valkey(password=PASSWORD) as server:
            connect_redis(server)
            opened().write("a", b"1")
            assert keys(opened()) == ["a"]
            for wrong in (None, "wrong-password"):
                connect_redis(replace(server, password=wrong))
                with pytest.raises(Unusable, match="of connection 'redis_default' is not accepted") as caught:
                    listed(opened(retry_seconds=0))
                assert str(wrong) not in str(caught.value)

    def test_by_a_user_and_a_password(self, connect_redis: Callable[..., None]) -> None:
        with running_valkey(acl_user="ada") as server:
            connect_redis(server)
            opened().write("a", b"1")
            assert keys(opened()) == ["a"]
            connect_redis(replace(server, username="eve"))
            with pytest.raises(Unusable, match="of connection 'redis_default' is not accepted"):
                listed(opened(retry_seconds=0))


@pytest.fixture
def user(server: RedisServer, connect_redis: Callable[..., None]) -> Iterator[Callable[[str], RedisStorage]]:
    """Log in as one who may do some things."""

    def user(rules: str) -> RedisStorage:
        server.client().execute_command("ACL", "SETUSER", "ada", "reset", "on", f">{PASSWORD}", *rules.split())
        connect_redis(replace(server, username="ada", password=PASSWORD))
        return opened(retry_seconds=0)

    yield user
    server.client().execute_command("ACL", "DELUSER", "ada")


Attempt = Callable[[RedisStorage], object]


class TestPermission:
    @pytest.mark.parametrize(
        ("rules", "attempt"),
        [
            pytest.param(f"{ALL} -scan", listed, id="to scan"),
            pytest.param(f"{ALL} -type", listed, id="to see types"),
            pytest.param(f"{ALL} -@read +scan +type", listed, id="to read while listing"),
            pytest.param(f"{ALL} -getrange", lambda storage: storage.read("a"), id="to read"),
            pytest.param("~* +@read +@connection", lambda storage: storage.write("b", b"1"), id="to write"),
            pytest.param("~* +@read +@connection", lambda storage: storage.delete(["a"]), id="to delete"),
            pytest.param("~in/* +@all", lambda storage: storage.write("out/a", b"1"), id="to write that key"),
        ],
    )
    def test_that_is_missing_is_denied(
        self, server: RedisServer, user: Callable[[str], RedisStorage], rules: str, attempt: Attempt
    ) -> None:
        server.client(1).set("a", "1")
        with pytest.raises(Denied, match="The user of connection 'redis_default' has no permission for it"):
            attempt(user(rules))
        assert server.client(1).get("a") == b"1"

    def test_to_ask_for_memory_that_is_missing_has_the_fields_of_a_hash_counted_before_it_is_read(
        self, server: RedisServer, user: Callable[[str], RedisStorage], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_values, "LARGEST_HASH", 100_000)
        monkeypatch.setattr(redis_values, "MOST_FIELDS", 2000)
        client = server.client(1)
        client.hset("a small one", mapping={f"{n:04}": "x" * 45 for n in range(2000)})
        client.hset("b large field", "text", "x" * 100_000)
        client.hset("c many fields", mapping={f"{n:04}": "x" * 47 for n in range(2000)})
        client.hset("d too many", mapping={f"{n}": "" for n in range(2001)})
        storage = user(f"{ALL} -memory|usage")
        before = server.client().info("stats")["total_net_output_bytes"]
        found = listed(storage)
        assert [(info.key[0], (info.problem or "")[:15]) for info in found] == [
            ("a", ""),
            ("b", "it is too large"),
            ("c", "it is too large"),
            ("d", "it is too large"),
        ]
        told = server.client().info("stats")["total_net_output_bytes"] - before
        assert told < 300_000, "the hash that may be read, the names of the others, and their lengths"
        assert len(json.loads(storage.read("a small one"))["data"]) == 2000

    @pytest.mark.parametrize("denied", ["hlen", "hkeys", "hstrlen"])
    def test_to_ask_how_large_a_hash_is_that_is_missing_is_named_and_stops_no_other(
        self, server: RedisServer, user: Callable[[str], RedisStorage], denied: str
    ) -> None:
        server.client(1).hset("a", "text", "1")
        server.client(1).set("b", "1")
        storage = user(f"{ALL} -memory|usage -{denied}")
        first, second = listed(storage)
        assert "Allow MEMORY USAGE, or HLEN, HKEYS and HSTRLEN" in (first.problem or "")
        assert (second.key, second.problem) == ("b", None)
        with pytest.raises(Invalid, match="a: the user of the connection may not ask how large"):
            storage.read("a")

    def test_to_read_is_enough_to_list_and_read(self, server: RedisServer, user: Callable[[str], RedisStorage]) -> None:
        server.client(1).set("a", "1")
        storage = user("~* +@read +@connection")
        assert keys(storage) == ["a"]
        assert storage.read("a") == b"1"


@pytest.fixture(scope="module")
def secure() -> Iterator[RedisServer]:
    with running_valkey(tls=True) as server:
        yield server


class TestTLS:
    def test_with_the_ca_file_of_the_server(self, secure: RedisServer, connect_redis: Callable[..., None]) -> None:
        connect_redis(secure)
        opened("redis://2/").write("a", b"1")
        assert keys(opened("redis://2/")) == ["a"]

    def test_with_the_ca_file_of_another_is_not_to_be_trusted(
        self, secure: RedisServer, connect_redis: Callable[..., None], tmp_path: Path
    ) -> None:
        other, _ = write_certificate(tmp_path)
        connect_redis(replace(secure, ca_file=other))
        with pytest.raises(Unusable, match=r"cannot be trusted.*name the CA file in connection 'redis_default'"):
            listed(opened(retry_seconds=0))

    def test_without_a_ca_file_is_not_to_be_trusted(
        self, secure: RedisServer, connect_redis: Callable[..., None]
    ) -> None:
        connect_redis(replace(secure, ca_file=None), ssl=True)
        with pytest.raises(Unusable, match="cannot be trusted"):
            listed(opened(retry_seconds=0))
