"""Label Studio that gives up on its syncs soon, and takes a local server for Google's.

A test module says `pytest_plugins = ["servers.label_studio_impatient"]` and takes the fixture `impatient`, which is on
SQLite. A sync of its own storages that has told nothing for a second is marked as failed by whoever lists them; without
this, that takes 25 seconds.

No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from servers.gcs import GCSServer
from servers.label_studio import LabelStudioServer, running_label_studio

pytest_plugins = ["servers.gcs", "servers.label_studio"]

# Five times as many seconds without a word are too many.
TIMER = "0.2"


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory, gcs: GCSServer) -> Iterator[LabelStudioServer]:
    """One server for all tests."""
    with ExitStack() as servers:
        # Only while it starts: the tests are not to be told of that emulator.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_IN_PROGRESS_TIMER", TIMER)
            patch.setenv("STORAGE_EMULATOR_HOST", gcs.endpoint)
            server = servers.enter_context(running_label_studio(tmp_path_factory.mktemp("documents")))
        yield server
