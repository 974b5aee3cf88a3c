"""Importing: objects of a source become tasks of a project, each exactly once."""
