"""The first page: what needs a person, and the first steps in an empty portal."""
