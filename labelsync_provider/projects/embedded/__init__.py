"""Projects without a server: tables in the `[labelsync] database`."""
