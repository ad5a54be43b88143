"""The guided form that follows the Adobe Developer Console."""

from django.apps import AppConfig


class WizardConfig(AppConfig):
    name = "credentials.wizard"
    label = "wizard"
