"""The ledger: what has been imported and exported, and what is about to be.

A cache of the truth, which stands in the projects and the storages. Its one part that must not be lost is the journal:
effects that were announced, and of which it is not known yet what became of them.
"""
