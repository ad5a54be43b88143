"""Seeing what containers hold: readings, and the observations that come of every sight."""
