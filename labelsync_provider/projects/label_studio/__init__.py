"""A Label Studio server and its projects, through its API."""
