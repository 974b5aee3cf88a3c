"""Triggers: what waits for a deferred task."""
