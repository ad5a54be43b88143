"""The last net under the logs: whatever looks like a client secret is cut out of every line."""

import logging
import re

SECRET_SHAPES = re.compile(r"p8e-[A-Za-z0-9_-]{8,}|(?<=-setimsoauth:)\S+")


class NoSecrets(logging.Filter):
    """Rewrites a record's message and traceback text without anything of a client secret's shape."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        record.msg, record.args = SECRET_SHAPES.sub("***", message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = SECRET_SHAPES.sub("***", record.exc_text)
        return True
