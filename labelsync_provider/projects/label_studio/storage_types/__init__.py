"""The types of storages that Label Studio knows, a file each, and how each is told of a storage."""
