"""What storages in buckets and containers have in common. A prefix is a folder, whether it ends in `/` or not."""

from collections.abc import Callable

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.label_studio.storage_types.kind import Direction, Fields, Kind, Location, Login, text
from labelsync_provider.projects.naming import StorageType


def bucket_kind(
    storage_type: StorageType,
    scheme: str,
    container: str,
    login: Callable[[StorageAccess], Login],
    *,
    deletes: bool = False,
) -> Kind:
    """Return the kind of a service with buckets.

    :param container: the field that names one.
    :param login: returns the fields with which Label Studio logs in.
    """

    def told(access: StorageAccess) -> tuple[Location, Login]:
        return {container: access.container, "prefix": access.path.rstrip("/")}, login(access)

    def place(fields: Fields, direction: Direction) -> tuple[str, ...]:
        return text(fields, container), text(fields, "prefix").rstrip("/")

    def start(fields: Fields) -> tuple[str, str]:
        prefix = text(fields, "prefix").rstrip("/")
        return f"{scheme}://{text(fields, container)}", f"{prefix}/" if prefix else ""

    def uri(fields: Fields) -> str:
        return f"{scheme}://{'/'.join(place(fields, 'import'))}".rstrip("/")

    def shows(fields: Fields, location: Fields) -> bool:
        # Whatever its prefix: Label Studio takes the first storage of the bucket.
        return fields.get(container) == location[container]

    return Kind(
        storage_type,
        scheme,
        told,
        place,
        uri,
        start,
        shows,
        container=container,
        presigns=True,
        deletes=deletes,
    )
