"""What requests cost, by the price lists of the services."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelsync_provider.storages.location import Location
from labelsync_provider.storages.prices import AZURE, GCS, S3, Prices, prices_at

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("container", "endpoint", "prices"),
    [
        ("s3://bucket", "https://s3.amazonaws.com", S3),
        ("gs://bucket", "https://storage.googleapis.com", GCS),
        ("azure-blob://container", "https://account.blob.core.windows.net", AZURE),
        ("s3://bucket", "https://minio.example.com", None),
        ("s3://bucket", "https://storage.googleapis.com", None),
        ("gs://bucket", "http://127.0.0.1:4443", None),
        ("azure-blob://container", "http://127.0.0.1:10000/devstoreaccount1", None),
        ("redis://1", "redis.example.com:6379", None),
        ("file://", "/data", None),
    ],
)
def test_only_the_service_itself_has_its_prices(container: str, endpoint: str, prices: Prices | None) -> None:
    assert prices_at(Location(container, endpoint)) is prices


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ({"list": 101, "read": 10_000, "POST projects/import": 6}, "about 0.0045 USD"),
        ({"list": 720_000}, "about 3.60 USD"),
        ({"write": 1_000_000, "sign": 10, "delete": 5000}, "about 5.00 USD"),
        ({"list": 1}, "less than 0.0001 USD"),
        ({}, "less than 0.0001 USD"),
    ],
)
def test_what_requests_cost(requests: dict[str, int], words: str) -> None:
    assert S3.in_words(requests) == f"{words} at the list prices of {S3.of}"


def numbers(pattern: str, text: str) -> Iterator[float]:
    found = re.search(pattern, text)
    assert found, f"the README has nothing like {pattern}"
    return (float(number.replace(",", "")) for number in found.groups())


def test_the_readme_says_what_the_prices_say() -> None:
    text = " ".join(README.read_text().split())
    pages, total, price, cost = numbers(
        r"([\d,]+) x 24 x 30 = ([\d,]+) requests a month, which at ([\d.]+) USD a thousand are ([\d.]+) USD", text
    )
    once = next(numbers(r"to read a million new task files is ([\d.]+) USD", text))
    assert pages * 24 * 30 == total
    for prices in (S3, GCS, AZURE):
        assert prices.list == price
        assert prices.cost({"list": int(total)}) == pytest.approx(cost)
        assert prices.cost({"read": 1_000_000}) == pytest.approx(once)
    example = {"read": 10_000, "list": 11, "POST projects/import": 6}
    assert ", ".join(f"{kind} {count:,}" for kind, count in example.items()) in text
    assert S3.in_words(example) in text
