"""The tasks that Celery finds here: the bells of questions to Adobe and of rotations, with their threads."""

from credentials import inquiries  # noqa: F401  # its task
from credentials.rotation import engine  # noqa: F401  # its task
