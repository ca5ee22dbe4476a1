"""A study names runs, probes and pictures, and running it does only what is missing."""
