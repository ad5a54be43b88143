"""Pages of the coverage map and of drift."""
