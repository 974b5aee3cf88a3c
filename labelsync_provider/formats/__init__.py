"""Formats: what a task file is, and what a row of it means. Content goes in, tasks come out."""
