"""Damaged and hostile files by the ten thousand, for every format that is read: ``cd tests && python -m fuzz``.

What must not happen, whatever a file holds: an error that nobody foresaw, an end that does not come, a crash, code of the file
that is run, and, in a format of our own, values other than those that were written.
"""
