"""Templates of pages, with their styles and scripts."""
