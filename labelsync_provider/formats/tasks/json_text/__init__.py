"""JSON: where the rows of a text begin and end, what each means, and what is said of a bad one."""
