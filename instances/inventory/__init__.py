"""The inventory: edited row by row, or imported from a CSV file."""
