"""A day in a form, with the calendar of the browser."""

from django import forms


class DayInput(forms.DateInput):
    """Takes and shows a day as browsers do, whatever the language: 2026-03-14."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")
