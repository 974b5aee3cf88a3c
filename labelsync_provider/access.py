"""How a storage is reached, in no service's own words: for somebody else who is to reach it by itself."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StorageAccess:
    """What a storage URI and its connection resolve to. What a service has not is empty."""

    uri: str
    """The storage URI, as it was given."""
    login: str
    """What logs in, in words: `connection 'aws_default'`."""
    container: str = ""
    """A bucket, a container, or the number of a database."""
    path: str = ""
    """What keys begin with; of local files, the directory."""
    endpoint: str = ""
    """The URL of the service, or of a database server: its scheme says whether that speaks TLS."""
    region: str = ""
    account: str = ""
    """Whose it is or who logs in: an access key's id, a project of a cloud's, the name of an account, a user."""
    secret: str | None = field(default=None, repr=False)
    """The connection's own key or password; None if it has none that somebody else could log in with."""
    session_token: str | None = field(default=None, repr=False)
    of_connection: bool = True
    """Whether the connection logs in. False: it says nothing, and what the environment of this machine names does."""
    is_cluster: bool = False
    """Whether several servers share the keys."""
