"""Task files: the content of an object goes in, tasks come out."""
