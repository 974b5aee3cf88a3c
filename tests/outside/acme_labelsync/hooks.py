"""Opens `acme://shelf/`: objects in the memory of this process, on a shelf of Acme's."""

from acme_labelsync.storage import Shelf


class AcmeStorageHook:
    """What labelsync asks of a hook, and nothing more."""

    conn_name_attr = "conn_id"
    default_conn_name = "acme_default"

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> Shelf:
        return Shelf(uri)

    def get_target(self, uri: str) -> Shelf:
        return Shelf(uri)

    def test_connection(self, uri: str = "", *, target: bool = False) -> tuple[bool, str]:
        return True, "There is always memory."
