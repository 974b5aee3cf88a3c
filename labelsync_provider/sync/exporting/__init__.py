"""Exporting: look at the target -> tasks changed since -> render -> plan -> write -> account, a file each."""
