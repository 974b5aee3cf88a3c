"""What services ask for requests, by their price lists.

In US dollars, of one region and of the storage class that is meant for data in use. What a bill says differs: by region
and class, by what is free each month, and by discounts. What is not a request is not in here: bytes stored, and bytes
that leave the region.

- Amazon S3, Standard, us-east-1, published on 2026-07-28: Requests-Tier1 and -Tier2 of
  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonS3/current/us-east-1/index.json; that nothing is asked
  for a deletion: https://aws.amazon.com/s3/pricing/
- Google Cloud Storage, Standard, a single region, read on 2026-09-20: operations of class A and B, and free ones, of
  https://cloud.google.com/storage/pricing
- Azure Blob Storage, general purpose v2, Hot, LRS, East US, read on 2026-08-10: the meters "Hot LRS Write Operations",
  "Hot Read Operations" and "LRS List and Create Container Operations" of https://prices.azure.com/api/retail/prices;
  which request is which: https://learn.microsoft.com/azure/storage/blobs/map-rest-apis-transaction-categories
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from labelsync_provider.storages.location import Location


class Prices(NamedTuple):
    """What a service asks for a thousand requests, in US dollars."""

    of: str
    """Which list prices they are: the service, the class, the region, and when."""
    list: float
    read: float
    write: float
    delete: float

    def cost(self, requests: Mapping[str, int]) -> float:
        """Return what requests cost, by kind; those of kinds that have no price cost nothing here."""
        priced = {"list": self.list, "read": self.read, "write": self.write, "delete": self.delete}
        return sum(priced[kind] * count for kind, count in requests.items() if kind in priced) / 1000

    def in_words(self, requests: Mapping[str, int]) -> str:
        """Return what requests cost, as a log says it."""
        cost = self.cost(requests)
        amount = f"about {cost:,.2f}" if cost >= 1 else f"about {cost:.4f}" if cost >= 0.0001 else "less than 0.0001"
        return f"{amount} USD at the list prices of {self.of}"


S3 = Prices("Amazon S3, Standard, us-east-1, 2026-07-28", list=0.005, read=0.0004, write=0.005, delete=0.0)
GCS = Prices("Google Cloud Storage, Standard, one region, 2026-09-20", list=0.005, read=0.0004, write=0.005, delete=0.0)
AZURE = Prices("Azure Blob Storage, Hot LRS, East US, 2026-08-10", list=0.005, read=0.0004, write=0.005, delete=0.0)

AT_HOSTS = {
    "s3": ("s3.amazonaws.com", S3),
    "gs": ("storage.googleapis.com", GCS),
    "azure-blob": (".blob.core.windows.net", AZURE),
}
"""By scheme, how the host of the service itself ends; what others serve there has other prices, or none."""


def prices_at(location: Location) -> Prices | None:
    """Return the prices of the service that serves a location; None if they are not known."""
    host, prices = AT_HOSTS.get(location.container.partition("://")[0], ("", None))
    return prices if prices and (urlsplit(location.endpoint).hostname or "").endswith(host) else None
