"""Leases: one run at a time writes to a range of the ledger.

A lease expires, so that a killed run does not lock others out, and carries a fencing number that grows with
every owner, so that a run that was paused past its lease cannot write when it wakes up. Safety rests on
the number; the clocks only decide how soon a lease is taken over.
"""

import logging
import threading
from types import TracebackType
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from labelsync_provider.database import UPSERTS, writing
from labelsync_provider.database.schema import confirm_schema, ensure_schema
from labelsync_provider.errors import LeaseHeld, LeaseLost, Stopped, Unavailable
from labelsync_provider.stop import LOOK_SECONDS
from labelsync_provider.sync.ledger.tables import LEASE
from labelsync_provider.sync.runtime import Runtime

LEASE_SECONDS = 60.0
"""How long a lease outlives an owner that was killed."""
POLL_SECONDS = 1.0
"""How long a run waits before it looks again whether a lease is free."""
GRACE_SECONDS = 2.0
"""How long a run that is to end may take to give its lease back; then it is taken from it. Airflow kills after 5 s."""

log = logging.getLogger(__name__)


class Owner(NamedTuple):
    """Who a lease belongs to."""

    name: str
    """In words that tell a person where to look."""
    task_instance: str | None = None
    """The Airflow task instance, without the number of its try: a later try takes over from an earlier one at once."""


class Lease:
    """The right to write to a resource for the length of a `with` block, renewed while it runs."""

    def __init__(
        self,
        engine: Engine,
        resource: str,
        owner: Owner | str,
        seconds: float = LEASE_SECONDS,
        *,
        wait_seconds: float = 0,
        runtime: Runtime | None = None,
    ) -> None:
        """Prepare a lease.

        :param resource: what is written to, in words that a person understands.
        :param seconds: how long it outlives an owner that was killed.
        :param wait_seconds: how long to wait while somebody else has it.
        """
        self._engine, self._resource, self._seconds = engine, resource, seconds
        self._owner = Owner(owner) if isinstance(owner, str) else owner
        self._wait_seconds, self._runtime = wait_seconds, runtime or Runtime()
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="labelsync-lease", daemon=True)
        self._renewed_at = 0.0
        self._held_by = ""
        self.token = 0
        """The fencing number."""
        self._extended = update(LEASE).where(LEASE.c.resource == resource, LEASE.c.token == bindparam("mine"))
        self._extended = self._extended.values(expires_at=bindparam("until"))
        ensure_schema(engine)

    def __enter__(self) -> "Lease":
        """Get the lease.

        :raises LeaseHeld: somebody else still had it when the time to wait was over.
        :raises Stopped: the run is to end.
        """
        self._runtime.stop.check()
        began = self._runtime.monotonic()
        told = ""
        while (held := self._acquire()) is not None:
            waited = self._runtime.monotonic() - began
            if waited >= self._wait_seconds:
                raise LeaseHeld(f"{held} It was waited for {waited:.0f} s, see wait_for_lease.") if waited else held
            if told != self._held_by:
                log.info("Waiting up to %.0f s. %s", self._wait_seconds - waited, held)
                told = self._held_by
            self._runtime.wait(min(POLL_SECONDS, self._wait_seconds - waited))
        if self._runtime.renews_leases:
            self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        if self._runtime.renews_leases:
            self._renewal.join()
        self._give_back()

    def _give_back(self) -> None:
        with writing(self._engine) as connection:
            connection.execute(self._extended, {"mine": self.token, "until": 0.0})

    def confirm(self, connection: Connection) -> None:
        """Make the transaction of `connection` fail unless the lease is still this run's, and extend it.

        :raises LeaseLost: another run has taken over.
        :raises Stopped: the run is to end.
        """
        self._runtime.stop.check()
        now = self._runtime.now()
        if not connection.execute(self._extended, {"mine": self.token, "until": now + self._seconds}).rowcount:
            raise self._lost()
        self._renewed_at = now

    def check(self) -> None:
        """Make sure, right before a request that changes something, that the lease is still this run's.

        :raises LeaseLost: another run has taken over.
        :raises Stopped: the run is to end.
        """
        self._runtime.stop.check()
        if self._runtime.now() - self._renewed_at > self._seconds / 4:
            with writing(self._engine) as connection:
                self.confirm(connection)
            return
        with self._engine.connect() as connection:
            if connection.scalar(select(LEASE.c.token).where(LEASE.c.resource == self._resource)) != self.token:
                raise self._lost()

    def _lost(self) -> LeaseLost:
        return LeaseLost(
            f"{self._resource}: another run has taken over since {self._owner.name} got its lease, probably because "
            f"this process was paused for more than {self._seconds:.0f} s. Nothing more was written; run it again."
        )

    def _acquire(self) -> LeaseHeld | None:
        """Take the lease if it is free; if not, return the error that says who has it."""
        with writing(self._engine) as connection:
            free = UPSERTS[connection.dialect.name](LEASE)
            free = free.values(resource=self._resource, owner="", token=0, expires_at=0.0).on_conflict_do_nothing()
            connection.execute(free)
            # An upgrade waits for leases: whoever has one may rely on the schema that it found.
            confirm_schema(connection)
            this = select(LEASE).where(LEASE.c.resource == self._resource)
            current = connection.execute(this.with_for_update()).one()
            now = self._runtime.now()
            earlier_try = self._owner.task_instance is not None and current.task_instance == self._owner.task_instance
            if current.expires_at > now and not earlier_try:
                self._held_by = current.owner
                return LeaseHeld(
                    f"{self._resource}: {current.owner} is at it now. Wait for it to end; if it was killed, its "
                    f"lease expires in {current.expires_at - now:.0f} s."
                )
            if current.expires_at:
                log.warning("%s: taking over the lease that %s left behind.", self._resource, current.owner)
            self.token, self._renewed_at = current.token + 1, now
            taken = {
                "owner": self._owner.name,
                "task_instance": self._owner.task_instance,
                "token": self.token,
                "expires_at": now + self._seconds,
            }
            connection.execute(update(LEASE).where(LEASE.c.resource == self._resource).values(taken))
            return None

    def _renew(self) -> None:
        """Keep the lease while the run goes on; give it back for one that is to end and does not come to it."""
        stop, waits = self._runtime.stop, min(self._seconds / 4, 2 * LOOK_SECONDS)
        waited = 0.0
        while not self._released.wait(waits):
            waited += waits
            try:
                if stop.wished:
                    # It waits for an answer. What it asked stands in the journal, and it will ask nothing more.
                    if not self._released.wait(GRACE_SECONDS):
                        self._give_back()
                        log.warning("%s: gave the lease back while a request is on its way.", self._resource)
                    return
                if waited >= self._seconds / 4:
                    waited = 0.0
                    with writing(self._engine) as connection:
                        self.confirm(connection)
            except LeaseLost:
                return  # the next write of the run itself finds out, and fails it
            except Stopped:
                continue
            except (Unavailable, SQLAlchemyError) as error:
                log.warning("%s: could not renew the lease, or give it back, will try again: %s", self._resource, error)
