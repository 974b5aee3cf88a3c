"""Leases: one run at a time writes to a range of the ledger.

A lease expires, so that a killed run does not lock others out, and carries a fencing number that grows with
every holder, so that a run that was paused past its lease cannot write when it wakes up. Safety rests on
the number; the clocks only decide how soon a lease is taken over.
"""

import logging
import threading
import time
from types import TracebackType

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    MetaData,
    Table,
    Text,
    bindparam,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from labelsync_provider.database import UPSERTS, create_tables, writing
from labelsync_provider.errors import LeaseHeld, LeaseLost

LEASE_SECONDS = 60.0

log = logging.getLogger(__name__)

METADATA = MetaData()
LEASE = Table(
    "labelsync_lease",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
)


class Lease:
    """The right to write to what `name` names, for the length of a `with` block, renewed while it runs."""

    def __init__(self, engine: Engine, name: str, holder: str, seconds: float = LEASE_SECONDS) -> None:
        """Prepare a lease.

        :param holder: who asks, in words that tell a person where to look.
        :param seconds: how long it outlives a holder that was killed.
        """
        self._engine, self._name, self._holder, self._seconds = engine, name, holder, seconds
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="labelsync-lease", daemon=True)
        self.token = 0
        """The fencing number."""
        self._renewed = update(LEASE).where(LEASE.c.name == name, LEASE.c.token == bindparam("mine"))
        self._renewed = self._renewed.values(expires_at=bindparam("until"))
        create_tables(engine, METADATA)

    def __enter__(self) -> "Lease":
        self.token = self._acquire()
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        self._renewal.join()
        with writing(self._engine) as connection:
            connection.execute(self._renewed, {"mine": self.token, "until": 0.0})

    def confirm(self, connection: Connection) -> None:
        """Make the transaction of `connection` fail unless the lease is still this run's.

        :raises LeaseLost: another run has taken over.
        """
        values = {"mine": self.token, "until": time.time() + self._seconds}
        if not connection.execute(self._renewed, values).rowcount:
            raise LeaseLost(
                f"{self._name}: another run has taken over since {self._holder} got its lease, probably because "
                f"this process was paused for more than {self._seconds:.0f} s. Nothing more was written; run it again."
            )

    def _acquire(self) -> int:
        with writing(self._engine) as connection:
            free = UPSERTS[connection.dialect.name](LEASE).values(name=self._name, holder="", token=0, expires_at=0.0)
            connection.execute(free.on_conflict_do_nothing())
            current = connection.execute(select(LEASE).where(LEASE.c.name == self._name).with_for_update()).one()
            now = time.time()
            if current.expires_at > now:
                raise LeaseHeld(
                    f"{self._name} is being written to by {current.holder}. Wait for it to end; if it was killed, its "
                    f"lease expires in {current.expires_at - now:.0f} s."
                )
            if current.expires_at:
                log.warning("%s: taking over the lease that %s left behind.", self._name, current.holder)
            token: int = current.token + 1
            taken = {"holder": self._holder, "token": token, "expires_at": now + self._seconds}
            connection.execute(update(LEASE).where(LEASE.c.name == self._name).values(taken))
            return token

    def _renew(self) -> None:
        while not self._released.wait(self._seconds / 4):
            try:
                with writing(self._engine) as connection:
                    self.confirm(connection)
            except LeaseLost:
                return  # the next write of the run itself finds out, and fails it
            except OperationalError as error:
                log.warning("%s: could not renew the lease, will try again: %s", self._name, error.orig)
