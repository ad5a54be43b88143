"""The account in use: its pages, what happened to it, and another secret for it."""
