"""The command line: one click command a file; parse, configure, call, print."""
