"""The last net under the logs: whatever looks like a client secret is cut out of every line."""

import logging

from portal.plaintext import cut_out


class NoSecrets(logging.Filter):
    """Rewrites a record's message and traceback text without anything of a client secret's shape."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        record.msg, record.args = cut_out(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = cut_out(record.exc_text)
        return True
