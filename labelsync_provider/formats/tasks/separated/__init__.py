"""CSV and TSV: a header, then a row a line. A column is a data key, and every value is a text.

Values are quoted as RFC 4180 says, by which one may hold line breaks; what stands behind a closing quote is malformed.
Each row is read by itself: whatever is wrong with one costs that one; with a quote, the lines that it runs over.

Label Studio's import (`data_import/models.py`, 1.23.2) reads these files by pandas. Its rule for the separator of CSV
is taken. What it guesses is not: that `007` and `1e5` are numbers, and `NA` and `null` an empty text; names for columns
that have none, or one that another has; values that are missing at the end of a row. A row of nothing but separators,
such as Excel leaves below a table, is a blank line here, and a task of empty texts there.
"""
