"""A listing in ranges is the plain one: each object once, none left out, in order, whatever keys and service."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from servers.azure import AzureServer
from servers.s3 import S3Server

from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.storages import azure_blob
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.key_guess import MOST_CHARACTERS, Alphabets, Sample
from labelsync_provider.storages.keys import listed_key
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.ranges import FEW_PAGES, LISTERS, Range, Ranges
from labelsync_provider.storages.s3 import S3Bucket

pytest_plugins = ["servers.azure", "servers.s3"]

FEW_CLUSTERS = sorted([".", "0", *(f"img_{n}.json" for n in range(9_998, 10_010)), "{"])


@dataclass
class Place:
    """A service in memory, whose keys may change."""

    keys: list[str]
    page: int = 2
    asked: int = 0

    def answer(self, asked: Range) -> tuple[Page, str | None]:
        """Return the next page of a range; the token is the last key of the page before."""
        self.asked += 1
        there = self.ordered()
        start = self.behind(there, asked.after) if asked.token is None else self.position(there, asked.token)
        page = there[start : start + self.page]
        more = start + self.page < len(there)
        listed = (listed_key(key) for key in page)
        return [ObjectInfo(key, 1, "v", problem) for key, problem in listed], page[-1] if more else None

    def ordered(self) -> list[str]:
        return sorted(self.keys)

    def position(self, there: list[str], token: str) -> int:
        return bisect_right(there, token)

    def behind(self, there: list[str], key: str) -> int:
        return bisect_right(there, key)


class Folders(Place):
    """Lists folder by folder, as SeaweedFS does: `p/a/1` before `p/a-`; behind `p/a`, it leaves out that folder."""

    def ordered(self) -> list[str]:
        return sorted(self.keys, key=lambda key: key.split("/"))

    def position(self, there: list[str], token: str) -> int:
        return bisect_right(there, token.split("/"), key=lambda key: key.split("/"))

    def behind(self, there: list[str], key: str) -> int:
        if not key:
            return 0
        names = key.split("/")
        return bisect_right(there, names, key=lambda key: key.split("/")[: len(names)])


class FromTheBeginning(Place):
    """Pays no heed to where a listing is to start."""

    def behind(self, there: list[str], key: str) -> int:
        return 0


class InNoOrder(Place):
    """Lists in an order of its own, as a directory bucket does, from the beginning only."""

    def ordered(self) -> list[str]:
        return sorted(self.keys, key=lambda key: hash((key, 1)))

    def position(self, there: list[str], token: str) -> int:
        return there.index(token) + 1

    def behind(self, there: list[str], key: str) -> int:
        return 0


def listed(
    ranges: Ranges, place: Place, choose: Callable[[int], int], fails: Callable[[], bool] = lambda: False
) -> list[str]:
    """List a place; which request that is under way is answered next, and when it looks at the place, is chosen.

    :param choose: returns a number below one.
    :param fails: tells whether a guess fails.
    """
    under_way: list[Range] = []
    keys: list[str] = []
    while not ranges.at_end:
        while (asked := ranges.next()) is not None:
            under_way.append(asked)
        if (page := ranges.read()) is not None:
            assert page
            keys += [info.key for info in page]
            continue
        if under_way:
            asked = under_way.pop(choose(len(under_way)))
            if asked.is_guess and fails():
                assert ranges.failed(asked)
            else:
                ranges.answered(asked, *place.answer(asked))
    return keys


counting = st.builds(
    lambda name, start, count, width: [f"{name}{n:0{width}}.json" for n in range(start, start + count)],
    st.sampled_from(["", "img_", "a/b/c/d/e/f/", "写真/", "x" * 300]),
    st.integers(0, 10**6),
    st.integers(0, 60),
    st.integers(0, 8),
)
folders = st.builds(
    lambda names, count: [f"{name}/{n:03}.json" for name in names for n in range(count)],
    st.lists(st.text("abz09-_./é", min_size=1, max_size=4), max_size=12),
    st.integers(0, 9),
)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
key_sets = st.lists(
    st.one_of(
        counting, folders, st.lists(text, max_size=40), st.lists(st.text("01", min_size=1, max_size=12), max_size=60)
    ),
    max_size=3,
).map(lambda groups: sorted({key for group in groups for key in group if key.strip("/")}))


class TestListing:
    @settings(deadline=None)
    @given(
        key_sets, st.integers(1, 3), st.integers(2, 40), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3])
    )
    def test_is_the_plain_one_in_the_order_of_utf_8(
        self, keys: list[str], page: int, ahead: int, random: Any, failing: float
    ) -> None:
        place = Place(keys, page)
        found = listed(Ranges("", most_held=ahead), place, random.randrange, lambda: random.random() < failing)
        assert found == sorted(keys, key=str.encode)

    @settings(deadline=None)
    @given(key_sets, st.randoms(use_true_random=False))
    def test_of_a_service_that_lists_folder_by_folder_is_the_plain_one(self, keys: list[str], random: Any) -> None:
        place = Folders(keys)
        assert listed(Ranges(""), place, random.randrange) == place.ordered()

    @settings(deadline=None)
    @given(st.integers(0, 90), st.integers(0, 60), st.randoms(use_true_random=False))
    def test_that_ends_with_keys_that_no_database_takes_has_them_once(self, fit: int, unfit: int, random: Any) -> None:
        """Such a key does not tell whether it is behind a cut: the ranges on both sides of one list it."""
        place = Place([f"k{n:03}" for n in range(fit)] + [f"x{n:03}\0" for n in range(unfit)])
        assert listed(Ranges(""), place, random.randrange) == [listed_key(key)[0] for key in place.keys]
        assert place.asked <= 3 * (fit + unfit) // 2 + 2 * LISTERS

    @pytest.mark.parametrize("choose", [lambda count: 0, lambda count: count - 1], ids=["oldest first", "newest first"])
    def test_has_what_a_service_leaves_out_behind_a_cut(
        self, choose: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Behind `p/b`, such a service begins with `p/c/`: the range before goes on in the stead of that one."""

        def cut(_: Alphabets, low: str, high: str | None, __: object) -> str | None:
            return "p/b" if low < "p/b" and high is None else None

        monkeypatch.setattr(Alphabets, "guess", cut)
        place = Folders([f"p/{folder}/{n}" for folder in "abc" for n in range(10)])
        assert listed(Ranges(""), place, choose) == place.ordered()
        assert place.asked > len(place.keys) / place.page, "it was cut"

    @pytest.mark.parametrize("kind", [FromTheBeginning, InNoOrder])
    @settings(deadline=None)
    @given(keys=key_sets, random=st.randoms(use_true_random=False))
    def test_of_a_service_that_cannot_start_behind_a_key_is_the_plain_one(
        self, kind: type[Place], keys: list[str], random: Any
    ) -> None:
        place = kind(keys)
        assert listed(Ranges(""), place, random.randrange) == place.ordered()

    @settings(deadline=None)
    @given(key_sets, st.data(), st.randoms(use_true_random=False))
    def test_that_changes_under_way_has_once_what_is_there_throughout(
        self, keys: list[str], data: st.DataObject, random: Any
    ) -> None:
        passing = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
        place = Place(keys)

        def change_and_choose(count: int) -> int:
            place.keys = [key for key in keys if key not in passing or random.random() < 0.5]
            return int(random.randrange(count))

        found = listed(Ranges(""), place, change_and_choose)
        assert [key for key in found if key not in passing] == [key for key in keys if key not in passing]
        assert len(found) == len(set(found))

    @settings(deadline=None)
    @given(key_sets, st.randoms(use_true_random=False))
    @example(FEW_CLUSTERS, Random(0))  # each guess behind `img_` is answered with one object, in vain
    def test_asks_at_most_three_times_as_often(self, keys: list[str], random: Any) -> None:
        place = Place(keys, 3)
        listed(Ranges(""), place, random.randrange)
        assert place.asked <= max(1, 3 * -(-len(keys) // 3))


def task_files(count: int) -> list[str]:
    return [f"{n // 1000:03}/{n:06}.json" for n in range(count)]


class TestRounds:
    """Each request takes one round; those that are under way at once take one together."""

    def rounds(self, ranges: Ranges, place: Place) -> int:
        rounds = 0
        under_way: list[Range] = []
        while not ranges.at_end:
            while (asked := ranges.next()) is not None:
                under_way.append(asked)
            if ranges.read() is None and under_way:
                rounds += 1
                for asked in under_way:
                    ranges.answered(asked, *place.answer(asked))
                under_way = []
        return rounds

    @pytest.mark.parametrize("count", range(FEW_PAGES * 1000 + 1)[::500])
    def test_of_a_small_place_are_as_many_as_its_pages(self, count: int) -> None:
        place = Place(task_files(count), 1000)
        assert self.rounds(Ranges(""), place) == place.asked == max(1, -(-count // 1000))

    @pytest.mark.parametrize(
        "keys",
        [
            pytest.param(task_files(100_000), id="task files"),
            pytest.param([f"img_{n}.jpg" for n in range(100_000)], id="without leading zeros"),
            pytest.param([f"2026/{1 + n // 9000:02}/{n % 9000:04}-é.jpg" for n in range(100_000)], id="dates"),
            pytest.param([f"{n * 7919 % 2**32:08x}" for n in range(100_000)], id="hashes"),
            pytest.param(["a", *(f"z/deep/cluster/{n:09}" for n in range(99_999))], id="one cluster"),
        ],
    )
    def test_of_a_large_place_are_few(self, keys: list[str]) -> None:
        place = Place(sorted(keys), 1000)
        assert self.rounds(Ranges(""), place) <= 25
        assert place.asked <= 160


def test_alphabets_stay_small_however_many_characters_there_are() -> None:
    alphabets, keys = Alphabets(""), [chr(n) * 2 for n in range(0x3400, 0x9FFF)]
    for start in range(0, len(keys), 100):
        alphabets.learn(keys[start : start + 100])
    assert max(map(len, alphabets._seen)) <= MOST_CHARACTERS
    guess = alphabets.guess(keys[100], keys[-1], Sample(keys[0], keys[100], 1.0))
    assert guess is not None
    assert keys[8_000] < guess < keys[20_000], "about the middle"


def test_guess_is_asked_for_once(http_server: Callable[..., str], opened: Callable[[str, str], BucketStorage]) -> None:
    """A service that answers none is not asked twice as often."""
    keys, guesses = [f"{n:03}" for n in range(50)], list[str]()

    def answer(request: Any) -> tuple[Any, ...]:
        asked = parse_qs(urlsplit(request.path).query)
        if "start-after" in asked:
            guesses.extend(asked["start-after"])
            return 503, b"<Error><Code>SlowDown</Code></Error>"
        start = int(asked.get("continuation-token", ["0"])[0])
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>1</Size><ETag>1</ETag></Contents>" for key in keys[start : start + 2]
        )
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{start + 2}</NextContinuationToken>"
        about = more if start + 2 < len(keys) else ""
        return 200, f"<ListBucketResult>{about}{contents}</ListBucketResult>".encode()

    storage = opened("s3", http_server(answer))
    assert [info.key for page in storage.list() for info in page] == keys
    assert 0 < 2 * len(guesses) <= len(keys) // 2 + 1


@pytest.mark.parametrize("server", ["rclone", "weed", "moto"])
def test_listing_of_a_server_in_small_pages_is_the_plain_one(server: str, request: pytest.FixtureRequest) -> None:
    running: S3Server = request.getfixturevalue(server)
    client, name = running.client(), running.create_bucket()
    keys = [f"{n // 8}/{n:03}é+%.json" for n in range(24)] + ["1-", "1/x-", "1/x/a", "2", "写真"]
    if server == "rclone":
        keys.remove("2")  # there is a folder of this name
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"1")
    client.meta.events.register("provide-client-params.s3.ListObjectsV2", _in_small_pages)
    login = {
        "access_key_id": running.access_key,
        "secret_access_key": running.secret_key,
        "token": None,
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    bucket: Any = S3Bucket(name, client, lambda: login, login="connection 'of this test'")  # type: ignore[arg-type, return-value]
    plain, token = list[str](), None
    while token is not None or not plain:
        page, token = bucket.page("", "", token)
        plain += [info.key for info in page]
    storage = BucketStorage(bucket, "")
    assert [info.key for page in storage.list() for info in page] == plain
    assert sorted(plain) == sorted(keys)
    assert storage.requests.counts["list"] >= len(keys) / 2


def test_listing_of_azure_in_small_pages_is_the_plain_one(
    azurite: AzureServer, connect_azure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azurite pays no heed to where a listing is to start."""
    connect_azure(azurite)
    monkeypatch.setattr(azure_blob, "PAGE", 2)
    name = azurite.create_container()
    storage = AzureBlobStorageHook().get_target(f"azure-blob://{name}/")
    keys = [f"{n // 5}/{n:03}é.json" for n in range(20)]
    for key in keys:
        storage.write(key, b"1")
    assert [info.key for page in storage.list() for info in page] == keys
    assert storage.requests.counts["list"] > len(keys) / 2  # it was tried


def _in_small_pages(params: dict[str, Any], **_: object) -> dict[str, Any]:
    return {**params, "MaxKeys": 2}
