"""What one process of the web server lets a client take, in bytes, seconds and places.

They are no settings: each is far beyond what the portal's pages need, and they only bound memory together.
"""

THREADS = 8
"""Requests answered at once. Only a request that has come as a whole takes one."""

CONNECTIONS = 500
"""Beyond that, connections that wait for their client are closed, those first that have waited longest."""

HEAD_BYTES = 32 * 1024
"""Request line and headers, cookies included."""

STRANGER_BYTES = 64 * 1024
"""The body of a request without a ticket (`portal.web.tickets`); the sign-in form has a few hundred bytes."""

PERSON_BYTES = 2_500_000
"""The body of a request of somebody who has signed in."""

IMPORT_BYTES = 21 * 1024 * 1024
"""The body of a request of somebody who may import an inventory."""

PERSON_PLACES = 8
"""Bodies beyond STRANGER_BYTES that are held in memory at once."""

IMPORT_PLACES = 1
"""Bodies beyond PERSON_BYTES that are held in memory at once."""

DISCARDED_BYTES = 32 * 1024 * 1024
"""A body that is too large is read and dropped up to here: a client reads our answer once it has sent it."""

HEAD_SECONDS = 15.0
"""From a request's first byte to the end of its headers."""

BODY_SECONDS = 60.0
"""From there to the end of its body."""

LARGE_BODY_SECONDS = 300.0
"""The same for a body beyond STRANGER_BYTES that has a place."""

IDLE_SECONDS = 75.0
"""Between two requests on one connection, and before the first; proxies keep theirs for 60 s."""

STALL_SECONDS = 30.0
"""A client that takes nothing of its answer for so long is gone."""

ANSWER_SECONDS = 600.0
"""From an answer's first byte to its last one, however it trickles."""

ANSWER_BYTES = 1024 * 1024
"""What an answer may wait in memory before the page that makes it has to wait."""

STOP_SECONDS = 30.0
"""After SIGTERM: what is being answered may end."""

RECYCLED_MEGABYTES = 250
"""A process that holds more memory ends in order, and another one takes its place."""
