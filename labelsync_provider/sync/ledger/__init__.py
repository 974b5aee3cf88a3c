"""The ledger: what has been imported and exported, and what is about to be.

A cache of the truth, which stands in the projects and the storages. Its one part that must not be lost is the journal:
effects that were announced, and of which it is not known yet what became of them.

An entry of the journal lives like this. A run announces what it is about to request of the project (create, update or
delete tasks), together with all that it has found out before. When the outcome is known, it is entered and the entry
is closed, in one transaction. If the run is killed in between, the next one reconciles: it looks in the project what
became of each effect. What may come yet, because a request outlives who sent it, is doubted for an hour, and looked
for by all runs of that hour. An effect has a name that no other has; it stands in the task's source reference, so
that a task tells which announcement made it.
"""
