"""The only room that knows nlserver: builds what is sent to a container, and reads what comes back.

A conversation has one commit point, the newline after the account. Before it nothing can have changed; after
it the outcome is known only from a report, or later from a look at the file.
"""

from instances.nlserver.conversation import MIN_BUILD, Conversation, Refused, ReportLost, look, read, refusal
from instances.nlserver.job import SCRIPT, Account, Become, Job, command, read_job, review_command, script
from instances.nlserver.read_back import NotReadBack, ReadBack
from instances.nlserver.read_back import parse as parse_read_back
from instances.nlserver.read_back import script as read_back_script
from instances.nlserver.reading import FileSeen, Reading
from instances.nlserver.report import (
    FileState,
    Journal,
    Last,
    Look,
    Mark,
    Ready,
    Report,
    StepExits,
    Transcript,
    parse_journal,
    parse_report,
)
from instances.nlserver.silence import why_silent
from instances.nlserver.verdict import Known, Verdict, judge, judge_again, judge_look

__all__ = [
    "MIN_BUILD",
    "SCRIPT",
    "Account",
    "Become",
    "Conversation",
    "FileSeen",
    "FileState",
    "Job",
    "Journal",
    "Known",
    "Last",
    "Look",
    "Mark",
    "NotReadBack",
    "ReadBack",
    "Reading",
    "Ready",
    "Refused",
    "Report",
    "ReportLost",
    "StepExits",
    "Transcript",
    "Verdict",
    "command",
    "judge",
    "judge_again",
    "judge_look",
    "look",
    "parse_journal",
    "parse_read_back",
    "parse_report",
    "read",
    "read_back_script",
    "read_job",
    "refusal",
    "review_command",
    "script",
    "why_silent",
]
