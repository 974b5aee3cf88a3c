"""A storage of somebody else's."""
