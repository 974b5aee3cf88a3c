"""Objects that Label Studio cannot show, whatever storage the project has: their names are cut on the way."""

import logging

from labelsync_provider.sync.importing.state import SourceObject
from labelsync_provider.uris import printable

NAMED = 3


class Unshown:
    """Objects with a `?` in their key, which stands in the URI as it is. Those of local files are quoted."""

    def __init__(self) -> None:
        self._count = 0
        self._named: list[str] = []

    def note(self, obj: SourceObject) -> None:
        """Note an object that has a `?` in its key, unless its URI is quoted."""
        if obj.url == obj.uri and obj.uri.endswith(obj.info.key):
            self._count += 1
            if len(self._named) < NAMED:
                self._named.append(printable(obj.uri))

    def log(self, log: logging.Logger) -> None:
        """Log a warning that says why."""
        if self._count:
            log.warning(
                "Label Studio cannot show %s: it takes what follows a ? in a URI for a query, and looks for what is "
                "named without it. Of the new and the changed objects, %s are such. Rename them without a ?; or, with "
                "url_mode='signed', they are shown until their URLs expire.",
                ", ".join(self._named),
                f"{self._count:,}",
            )
