"""Files as every version of landscape wrote them, which later versions read: a folder a version.

:mod:`frozen.make` writes the folder of the version that is checked out: ``cd tests && python -m frozen.make``. A folder is written
once and never again; ``test_frozen.py`` reads them all, and has values of each to compare with.
"""
