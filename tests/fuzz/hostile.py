"""One hostile request after another, each wholly decided by its seed."""

from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

STRANGER = "nobody"
METHODS = (
    ["GET"] * 8
    + ["POST"] * 14
    + ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 9000]
)
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
TYPES = [
    *[URLENCODED] * 10,
    *[MULTIPART] * 6,
    *(
        f"{URLENCODED}; charset={name}"
        for name in ("utf-7", "rot13", "hex", "zip", "idna", "utf-16", "x", '"a\x01"')
    ),
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 300,
    "multipart/form-data; boundary=\xff",
    "multipart/mixed; boundary=x",
    "application/json",
    "text/plain; charset=utf-7",
    "; ; =",
    "a/b" + ";c=d" * 4000,
]
VALUES: list[bytes] = [
    b"", b"1", b"0", b"-1", b"9" * 19, b"9" * 400, b"1e309", b"NaN",
    b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80",
    "é\u202e\U0001f600".encode(), b"' OR 1=1 --", b"<script>", b"a" * 5000, b"\r\nX: y", b"../../etc/passwd",
    b"0000-00-00", b"9999-12-31", b"2026-11-28", b"2026-13-45T99:99", b"00000000-0000-0000-0000-000000000000",
    b"None", b"true", b"on", b"[]", b'{"a":[[[[' + b"[" * 3000, b"%41" * 2000, b"example_mkt", b"production",
    b"127.0.0.1", b"[::1]", b"a,b;c\td", b"\xef\xbb\xbfinstance,container,address\nx,y,z\n", b"*" * 100_000,
]  # fmt: skip
SIZES = [0, 3, 500, 70_000, 300_000, 2_400_000, 2_600_000, 20_000_000]
SIZE_WEIGHTS = [4, 10, 60, 6, 4, 2, 2, 1]


@dataclass(frozen=True)
class Site:
    """What the fuzz knows of a portal."""

    people: dict[str, list[str]]
    urls: list[str]
    fields: list[str]
    tickets: list[str]


@dataclass(frozen=True)
class Hostile:
    """One request as bytes; `held` ones are sent in part, and their answer is not waited for."""

    role: str
    url: str
    data: bytes
    held: bool = False


def hostile(seed: str, site: Site, sessions: dict[str, str]) -> Hostile:
    """Return the request of this seed, by somebody with one of these sessions."""
    random = Random(seed)
    role = random.choice([STRANGER, STRANGER, *sessions])
    url = _url(random, site)
    if random.random() < 0.04:
        return Hostile(role, url, _garbage(random))
    token = "".join(random.choices("abcdefgh23456789", k=32)) if random.random() < 0.7 else ""
    method, kind = random.choice(METHODS), random.choice(TYPES)
    if random.random() < 0.5:
        return Hostile(role, url, _deep(random, url, site, sessions.get(role, "")))
    body, headers = b"", {}
    if method not in ("GET", "HEAD") or random.random() < 0.05:
        body = _body(random, kind, site.fields, token)
        headers = {"Content-Type": f"{kind}; boundary=edge" if kind == MULTIPART else kind}
        body, more = _framed(random, body)
        headers |= more
    headers |= _headers(random, sessions.get(role, ""), token, site.tickets)
    lines = [f"{method} {url} HTTP/{random.choice(['1.1'] * 20 + ['1.0', '2.0', '9'])}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    data = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
    if random.random() < 0.01:
        return Hostile(role, url, data[: max(1, len(data) // 2)], held=True)
    return Hostile(role, url, data)


def _deep(random: Random, url: str, site: Site, session: str) -> bytes:
    """Return a well-formed request with a valid token: what is hostile about it is in its values alone."""
    token = "".join(random.choices("abcdefgh23456789", k=32))
    fit = [value for value in VALUES if b"\0" not in value and _is_utf8(value)]
    pairs = [(random.choice(site.fields), random.choice(fit)) for _ in range(random.randint(0, 12))]
    form = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in pairs)
    headers = f"Host: localhost\r\nConnection: close\r\nCookie: sid={session}; csrf={token}\r\n"
    path = url.partition("?")[0].partition("%")[0]
    if random.random() < 0.4:
        return f"GET {path}?{form[:6000].rpartition('&')[0]} HTTP/1.1\r\n{headers}\r\n".encode("latin-1")
    if random.random() < 0.4:
        body, kind = (
            _multipart(random, [("csrfmiddlewaretoken", token.encode()), *pairs], 0),
            f"{MULTIPART}; boundary=edge",
        )
    else:
        body, kind = f"csrfmiddlewaretoken={token}&{form}".encode(), URLENCODED
    head = f"POST {path} HTTP/1.1\r\n{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _url(random: Random, site: Site) -> str:
    url = random.choice(site.urls)
    chance = random.random()
    if chance < 0.1:
        url = (
            "/"
            + "/".join(
                _quoted(random, random.choice(VALUES)[:3000]) if part.isdigit() else part
                for part in url.strip("/").split("/")
            )
            + "/"
        )
    elif chance < 0.16:
        url += random.choice(["%00", "%ff", "%zz", "%", "//", "../", ";a", "\\", "%2e%2e/", "a" * 3000, "#"])
    if random.random() < 0.35:
        names = [
            random.choice([*site.fields, "page", "q", "next", "state", "since", "until", "sort"])
            for _ in range(random.randint(1, 4))
        ]
        url += "?" + "&".join(f"{name}={_quoted(random, random.choice(VALUES)[:3000])}" for name in names)
    if random.random() < 0.01:
        url += "?" + "a=1&" * random.choice([900, 1100, 5000])
    return url


def _quoted(random: Random, value: bytes) -> str:
    return (
        quote_from_bytes(value)
        if random.random() < 0.9
        else value.decode("latin-1").replace(" ", "+").replace("\r\n", "")
    )


def _body(random: Random, kind: str, names: list[str], token: str) -> bytes:
    size = random.choices(SIZES, SIZE_WEIGHTS)[0]
    fields = [("csrfmiddlewaretoken", token.encode())] if token else []
    fields += [(random.choice(names), random.choice(VALUES)) for _ in range(random.choice([0, 1, 3, 8, 30]))]
    if random.random() < 0.02:
        fields += [(random.choice(names), b"1")] * random.choice([60, 11_000, 13_000])
    if kind.startswith(MULTIPART):
        return _multipart(random, fields, size)
    body = b"&".join(name.encode() + b"=" + quote_from_bytes(value[:size]).encode() for name, value in fields)
    return (
        body + b"&pad=" + random.choice([b"%41", b"a", b"&", b"%", b"\xff", b"+"]) * (size // 3)
        if size > 500
        else body
    )


def _multipart(random: Random, fields: list[tuple[str, bytes]], size: int) -> bytes:
    parts: list[bytes] = []
    for name, value in fields:
        more = random.choice(
            ["", "", '; filename="a.csv"', '; filename="\0"', "; filename*=utf-7''x", "; x=" + "y" * 2000]
        )
        extra = random.choice(
            ["", "", "Content-Transfer-Encoding: base64\r\n", "Content-Type: text/csv; charset=utf-7\r\n"]
        )
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{extra}\r\n'
        parts.append(head.encode("latin-1") + value + b"\r\n")
    if size > 500:
        file = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
        parts.append(file + random.choice([b"a,b,c,d\n", b"\xff\0", b"--edge\r\n"]) * (size // 8) + b"\r\n")
    end = random.choice([b"--edge--\r\n", b"--edge--\r\n", b"", b"--edg"])
    return b"".join(parts) + end


def _framed(random: Random, body: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return body and headers that say how long it is, or lie about it."""
    chance = random.random()
    if chance < 0.85:
        return body, {"Content-Length": len(body)}
    if chance < 0.9:
        chunks = [body[at : at + 5000] for at in range(0, len(body), 5000)]
        return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n", {
            "Transfer-Encoding": "chunked"
        }
    lie: dict[str, Any] = random.choice(
        [
            {"Content-Length": 5},
            {"Content-Length": "-1"},
            {"Content-Length": "9" * 5000},
            {"Content-Length": "99999999999"},
            {"Content-Length": "1, 2"},
            {"Transfer-Encoding": "gzip, chunked", "Content-Length": len(body)},
            {"Transfer-Encoding": "chunked"},
            {"Content-Encoding": "gzip", "Content-Length": len(body)},
            {"Expect": "100-continue", "Content-Length": len(body)},
        ]
    )
    return body, lie


def _headers(random: Random, session: str, token: str, tickets: list[str]) -> dict[str, str]:
    cookies = [f"sid={session}"] if session else []
    cookies += [random.choice(tickets)] if session and tickets and random.random() < 0.5 else []
    if not session and random.random() < 0.2:
        cookies.append("sid=" + random.choice(["a" * 32, "x" * 3000, "\xff", '"\\000"', ""]))
    if token:
        cookies.append(f"csrf={token}")
    if random.random() < 0.05:
        cookies.append(
            random.choice(["a=\xff", "=" * 500, "; " * 500, "messages=" + "x" * 2000, "b=" + "c" * 40_000])
        )
    headers = {"Host": "localhost", "Connection": "close", "Cookie": "; ".join(cookies)}
    if random.random() < 0.03:
        headers["Host"] = random.choice(["evil.example.com", "", "[", "a" * 3000, "localhost:99999", "\xff"])
    if random.random() < 0.1:
        name = random.choice(
            [
                "Accept-Language",
                "Accept",
                "HX-Request",
                "X-Forwarded-For",
                "Range",
                "If-Modified-Since",
                "If-None-Match",
                "Referer",
                "Origin",
                "X-Forwarded-Proto",
                "Accept-Encoding",
                "HX-Current-URL",
                "HX-Target",
            ]
        )
        headers[name] = random.choice(
            ["true", "x" * 2000, "\xff", "bytes=0-", "bytes=9-1", "en" + ",en" * 900, "*", "http://["]
        )
    return headers


def _garbage(random: Random) -> bytes:
    return random.choice(
        [
            random.randbytes(random.randint(1, 3000)) + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8000 + b"\r\n",
            b"GET http://[ HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
            b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200,
            b"GET /login/ HTTP/1.1\r\nHost : localhost\r\n\r\n",
            b"GET /login/ HTTP/1.1\nHost: localhost\n\n\r\n\r\n",
            b"GET\r\n\r\n",
        ]
    )
