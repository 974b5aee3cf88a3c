"""Annotation files: what an export writes of a task, and how it knows its own."""
