"""Sessions whose time is over: workers remove them within seconds, the scheduler within an hour."""

from django.core.management import call_command

from portal.processes.housekeeping import hourly


@hourly
def remove_expired_sessions() -> None:
    call_command("clearsessions")
