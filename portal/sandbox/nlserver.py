"""A stand-in for Adobe's `nlserver`: what public documentation says about it, and nothing it does not say.

`portal.sandbox.container` copies this file to `bin/nlserver` of a container, where it runs alone: only the
standard library, and only modules that load fast. Facts it keeps to: a banner on the first line of every
command, the levels `>`, `>>` and `>>>`, English or French, no `-setimsoauth` below build 9383, and a command
without `-instance` that writes into `config-default.xml`.

Invented, because nobody documents it: the sentences, the exit codes, where the organization is written, and
the cipher. The cipher only has to look like the real one and be readable by tests; it protects nothing.
"""

import base64
import contextlib
import errno
import hashlib
import hmac
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

OAUTH_SINCE = 9383
SETTINGS, KEY, FAULTS, LOG = "sandbox.json", "nlserver.key", "faults", "invocations.jsonl"
GATES, WRITTEN, TORN = "gates", "written", "torn"
GATE_SECONDS = 20
"""Seconds after which even a closed gate lets a call pass."""
NOT_FOR_EVER = 600
"""Seconds after which even `hang` and `flood` end, so that nothing is left running for long."""

RELEASES = {9352: "7.3.1", 9368: "7.3.5", 9383: "7.4.1", 9390: "7.4.2", 9394: "7.4.3", 9400: "7.4.4"}
OPTIONS = ("addinstance", "filter", "instance", "reload", "setblackliste", "setimsauth", "setimsjwtauth")

TEXTS = {
    "en": {
        "banner": "Application server for Adobe Campaign Classic ({0} build {1}@{2}) of 06/18/2024",
        "unknown": "XSV-350011 Unknown parameter '{0}' (iRc=-53)",
        "no_instance": "XSV-350023 Instance '{0}' does not exist (iRc=-53)",
        "bad_value": "XSV-350024 Parameter 'setimsoauth' has the wrong number of parts (iRc=-53)",
        "not_written": "XSV-350031 Cannot write '{0}': no space left on device (iRc=-28)",
        "unreadable": "XSV-350032 Cannot read '{0}': unexpected end of file (iRc=-53)",
        "internal": "XSV-350040 Internal error while the account was being set (iRc=-1)",
        "updated": "The IMS technical account of instance '{0}' was updated.",
        "reloaded": "Configuration reloaded.",
        "not_reloaded": "XSV-350050 The configuration could not be reloaded (iRc=-63)",
        "restarted": "Restarting '{0}'.",
        "not_restarted": "XSV-350051 '{0}' could not be restarted (iRc=-63)",
        "option": "-{0}",
        "options": "Available options:",
    },
    "fr": {
        "banner": "Serveur applicatif pour Adobe Campaign Classic ({0} build {1}@{2}) du 18/06/2024",
        "unknown": "XSV-350011 Paramètre '{0}' inconnu (iRc=-53)",
        "no_instance": "XSV-350023 L'instance '{0}' n'existe pas (iRc=-53)",
        "bad_value": "XSV-350024 Le paramètre 'setimsoauth' n'a pas le bon nombre de parties (iRc=-53)",
        "not_written": "XSV-350031 Impossible d'écrire '{0}' : espace disque insuffisant (iRc=-28)",
        "unreadable": "XSV-350032 Impossible de lire '{0}' : fin de fichier inattendue (iRc=-53)",
        "internal": "XSV-350040 Erreur interne pendant la mise à jour du compte (iRc=-1)",
        "updated": "Le compte technique IMS de l'instance '{0}' a été mis à jour.",
        "reloaded": "Configuration rechargée.",
        "not_reloaded": "XSV-350050 La configuration n'a pas pu être rechargée (iRc=-63)",
        "restarted": "Redémarrage de '{0}'.",
        "not_restarted": "XSV-350051 '{0}' n'a pas pu être redémarré (iRc=-63)",
        "option": "-{0}",
        "options": "Options disponibles :",
    },
}


# The cipher


def _xor_keystream(data: bytes, key: bytes, nonce: bytes) -> bytes:
    blocks = (hmac.digest(key, nonce + bytes([n]), "sha256") for n in range(len(data) // 32 + 1))
    return bytes(a ^ b for a, b in zip(data, b"".join(blocks), strict=False))


def encrypt(secret: bytes, key: bytes, nonce: bytes) -> str:
    """Return `secret` (at most 8000 bytes) as an attribute value: '@', then base64 of nonce, text, tag."""
    sealed = nonce + _xor_keystream(secret, key, nonce)
    return "@" + base64.b64encode(sealed + hmac.digest(key, sealed, "sha256")[:16]).decode()


def decrypt(value: str, key: bytes) -> bytes:
    """Return what `encrypt` was given; `ValueError` for a value that was not made with this key."""
    sealed = base64.b64decode(value.removeprefix("@"), validate=True)
    text, tag = sealed[:-16], sealed[-16:]
    if not value.startswith("@") or not hmac.compare_digest(hmac.digest(key, text, "sha256")[:16], tag):
        raise ValueError("not encrypted by this container's nlserver")
    return _xor_keystream(text[16:], key, text[:16])


def fingerprint(secret: bytes, key: bytes) -> str:
    """Return the 16 hexadecimal digits under which the log of invocations speaks of a secret."""
    return hmac.digest(key, b"fingerprint|" + secret, "sha256").hex()[:16]


# The configuration file, edited as text so that everything else in it stays as it is

TAG = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<!(?:[^>\"']|\"[^\"]*\"|'[^']*')*>"
    r"|<(?P<close>/?)(?P<name>[A-Za-z_][\w.:-]*)(?P<rest>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"([A-Za-z_][\w.:-]*)(\s*=\s*)(\"[^\"]*\"|'[^']*')")


def _open_tags(text: str) -> Iterator[tuple[tuple[str, ...], re.Match[str]]]:
    """Yield each opening tag with its path below the root element, whose name varies and is left out."""
    stack: list[str] = []
    for tag in TAG.finditer(text):
        if tag["name"] is None:
            continue
        if tag["close"]:
            stack.pop()
            continue
        stack.append(tag["name"])
        yield tuple(stack[1:]), tag
        if tag["rest"].endswith("/"):
            stack.pop()


def is_whole(text: str) -> bool:
    """Whether every element that is opened is closed again: not so in a file that was cut off."""
    depth, end = 0, 0
    for tag in TAG.finditer(text):
        if tag["name"] is not None and not tag["rest"].endswith("/"):
            depth += -1 if tag["close"] else 1
        end = tag.end()
    return depth == 0 and bool(end) and not text[end:].strip()


def _find(text: str, path: tuple[str, ...]) -> re.Match[str] | None:
    return next((tag for found, tag in _open_tags(text) if found == path), None)


def _quoted(value: str) -> str:
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def _with_attributes(rest: str, values: Mapping[str, str]) -> str:
    """Return the inside of an opening tag with `values` set: in place where they stand, else at its end."""
    missing = dict(values)

    def replaced(found: re.Match[str]) -> str:
        value = missing.pop(found[1], None)
        return found[0] if value is None else f"{found[1]}{found[2]}{_quoted(value)}"

    edited = ATTRIBUTE.sub(replaced, rest)
    body = edited.removesuffix("/")
    added = "".join(f" {name}={_quoted(value)}" for name, value in missing.items())
    return body.rstrip() + added + ("/" if body != edited else "") if added else edited


def _with_child(text: str, path: tuple[str, ...], name: str) -> str:
    parent = _find(text, path)
    if parent is None:
        raise ValueError("the file has no root element")
    child = f"\n{'  ' * (len(path) + 1)}<{name}/>"
    if not parent["rest"].endswith("/"):
        return text[: parent.end()] + child + text[parent.end() :]
    opened = f"<{parent['name']}{parent['rest'][:-1].rstrip()}>"
    return text[: parent.start()] + f"{opened}{child}\n</{parent['name']}>" + text[parent.end() :]


def with_element(text: str, path: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Return the file's text with attributes set on the element at `path`, which is made if it is missing."""
    for depth in range(1, len(path) + 1):
        if _find(text, path[:depth]) is None:
            text = _with_child(text, path[: depth - 1], path[depth - 1])
    tag = _find(text, path)
    if tag is None:
        raise ValueError("the file is not well formed")
    rest = _with_attributes(tag["rest"], values)
    return text[: tag.start("rest")] + rest + text[tag.end("rest") :]


# Faults


FAULT = re.compile(r"(?:([^:\s]+):)?([a-z0-9_]+)(?:=([\d.]+))?(?:\*(\d+))?")
ACTION_OF = {"reload_fails": "reload", "reload_encrypts_anew": "reload", "restart_fails": "restart"}


def _concerns(scope: str | None, word: str, action: str, instance: str) -> bool:
    if scope and scope.startswith("@"):
        return scope == f"@{action}"
    return action == ACTION_OF.get(word, "setimsoauth") and scope in (None, instance)


def take_faults(path: Path, action: str, instance: str) -> dict[str, float]:
    """Return the faults of this call and their values; one that is limited (`word*2`) is used up by it.

    A line is `[scope:]word[=value][*times]`. A scope is an instance, or `@pdump` and the like for an action;
    without one, a word concerns `-setimsoauth` of every instance (`reload_fails` and `restart_fails` theirs).
    """
    active: dict[str, float] = {}
    left = []
    for line in path.read_text().split() if path.exists() else []:
        found = FAULT.fullmatch(line)
        if found is None or not _concerns(found[1], found[2], action, instance) or found[4] == "0":
            left.append(line)
            continue
        active[found[2]] = float(found[3] or 0)
        left.append(line if found[4] is None else f"{line.rpartition('*')[0]}*{int(found[4]) - 1}")
    if active:
        _replace(path, "\n".join(left).encode())
    return active


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(content)
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# One invocation


class Call:
    """One invocation: what was asked for, on which container, and the faults that it meets."""

    def __init__(self, program: Path, arguments: list[str]) -> None:
        self.folder = next(up for up in program.parents if (up / SETTINGS).is_file())
        self.conf = program.parent.parent / "conf"
        self.key = bytes.fromhex((self.folder / KEY).read_text())
        settings = json.loads((self.folder / SETTINGS).read_text())
        self.build = int(settings["build"])
        self.texts = TEXTS[settings["language"]]
        self.action, self.instance, self.value = _parse(arguments)
        self.faults = take_faults(self.folder / FAULTS, self.action, self.instance)

    @property
    def secret(self) -> bytes:
        return self.value.rpartition("/")[2].encode("latin-1")

    def say(self, level: str, text: str, *values: object) -> None:
        line = f"{time.strftime('%H:%M:%S')} {level:<4}{self.texts[text].format(*values)}\n"
        write(line.encode())

    def banner(self) -> None:
        release = RELEASES.get(self.build, "7.X YY.R")
        sha = hashlib.sha256(str(self.build).encode()).hexdigest()[:11]
        self.say(">", "banner", release, self.build, sha)

    def record(self, event: str, **more: object) -> None:
        """Append one line to the container's log; a secret goes in as its fingerprint only."""
        told = fingerprint(self.secret, self.key) if self.action == "setimsoauth" else ""
        line = {"time": time.time(), "pid": os.getpid(), "event": event, "action": self.action}
        line |= {"instance": self.instance, "fingerprint": told, "faults": sorted(self.faults), **more}
        with (self.folder / LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")

    def pass_gate(self, name: str) -> None:
        """Wait while the gate of this name is closed: while the container's file `gates/<name>` exists."""
        gate, ends = self.folder / GATES / name, time.monotonic() + GATE_SECONDS
        if gate.exists():
            self.record("waiting", gate=name)
        while gate.exists() and time.monotonic() < ends:
            time.sleep(0.02)


def write(data: bytes) -> None:
    """Write all of `data` to standard output, unbuffered."""
    while data:
        data = data[os.write(1, data) :]


def _parse(arguments: list[str]) -> tuple[str, str, str]:
    """Return action, instance and value; arguments are taken as bytes (Latin-1), so that none is refused."""
    command, *options = [os.fsencode(each).decode("latin-1") for each in arguments] or [""]
    if command == "restart" and len(options) == 1 and options[0].startswith("pipelined@"):
        return "restart", options[0].partition("@")[2], options[0]
    if command != "config":
        return ("pdump" if command == "pdump" and not options else "unknown"), "default", command
    return _parse_config(options)


def _parse_config(options: list[str]) -> tuple[str, str, str]:
    action, instance, value = "unknown", "default", "config"
    for option in options:
        name, _, given = option.partition(":")
        if name == "-instance":
            instance = given
        elif name in {"-?", "-reload", "-setimsoauth"}:
            action, value = name.removeprefix("-"), given
        else:
            return "unknown", instance, name
    return action, instance, value


def _unknown(call: Call) -> int:
    call.say(">>>", "unknown", call.value.removeprefix("-"))
    return 1


def _pdump(call: Call) -> int:
    names = [path.stem.removeprefix("config-") for path in sorted(call.conf.glob("config-*.xml"))]
    processes = ["syslogd@default", "trackinglogd@default", "watchdog", "web@default"]
    processes += [f"mta@{name}" for name in names if name != "default"]
    for number, name in enumerate(processes):
        write(f"{name} ({9984 + number}) - {50.1 + number:.1f} MB\n".encode())
    return 0


def _help(call: Call) -> int:
    known = [*OPTIONS, "setimsoauth"] if call.build >= OAUTH_SINCE else OPTIONS
    call.say(">", "options")
    for option in known:
        call.say(">", "option", option)
    return 0


def _reload(call: Call) -> int:
    if "reload_fails" in call.faults:
        call.say(">>>", "not_reloaded")
        return 1
    if "reload_encrypts_anew" in call.faults:
        for path in call.conf.glob("config-*.xml"):
            _encrypt_anew(call, path)
    call.say(">", "reloaded")
    return 0


def _restart(call: Call) -> int:
    if "restart_fails" in call.faults or not (call.conf / f"config-{call.instance}.xml").exists():
        call.say(">>>", "not_restarted", call.value)
        return 1
    call.say(">", "restarted", call.value)
    return 0


def _set_account(call: Call) -> int:
    if call.build < OAUTH_SINCE:
        call.say(">>>", "unknown", "setimsoauth")
        return 1
    path = call.conf / f"config-{call.instance}.xml"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", call.instance) or not path.is_file():
        call.say(">>>", "no_instance", call.instance)
        return 1
    if len(call.value.split("/")) != 4:
        call.say(">>>", "bad_value")
        return 1
    return _write_account(call, path)


def _write_account(call: Call, path: Path) -> int:
    if "error_exit_0" in call.faults:
        call.say(">>>", "internal")
        return 0
    if "readonly" in call.faults or not os.access(path, os.W_OK):
        call.say(">>>", "not_written", path.name)
        return 1
    if not is_whole(path.read_bytes().decode("latin-1")):
        call.say(">>>", "unreadable", path.name)
        return 1
    if "killed_before_writing" in call.faults:
        call.record("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    if not _lied(call, path) and not _stored(call, path):
        call.say(">>>", "not_written", path.name)
        return 1
    call.pass_gate(WRITTEN)
    if "killed_after_writing" in call.faults:
        call.record("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    call.say(">", "updated", call.instance)
    return 0


def _lied(call: Call, path: Path) -> bool:
    """Do what only looks like setting the secret, if a fault says so."""
    lies = {"touches", "rewrites", "encrypts_anew", "exit_0_without_writing", "writes_late"}
    if not lies & call.faults.keys():
        return False
    if "touches" in call.faults:
        path.touch()
    if "rewrites" in call.faults:
        _replace(path, _with_ids(call, path.read_bytes().decode("latin-1")).encode("latin-1"))
    if "encrypts_anew" in call.faults:
        _encrypt_anew(call, path)
    if "writes_late" in call.faults and os.fork() == 0:
        _write_late(call, path)
    return True


def _write_late(call: Call, path: Path) -> None:
    """Write as a daemon that was asked to, when this call has long ended."""
    os.setsid()
    for number in range(64):
        with contextlib.suppress(OSError):
            os.close(number)
    time.sleep(call.faults["writes_late"])
    _stored(call, path)
    os._exit(0)


def _with_ids(call: Call, text: str) -> str:
    organization, client, account, _ = call.value.split("/")
    text = with_element(text, ("shared", "ims"), {"authIMSTAClientId": client, "authIMSTAId": account})
    return with_element(text, ("web", "redirection"), {"IMSOrgId": organization})


def _encrypt_anew(call: Call, path: Path) -> None:
    """Encrypt the secret that the file holds once more, with another nonce."""
    text = path.read_bytes().decode("latin-1")
    tag = _find(text, ("shared", "ims"))
    found = re.search(r'authIMSTAClientSecret\s*=\s*"(@[^"]+)"', tag["rest"]) if tag else None
    if found:
        again = encrypt(decrypt(found[1], call.key), call.key, os.urandom(16))
        _replace(path, text.replace(found[1], again).encode("latin-1"))


def _stored(call: Call, path: Path) -> bool:
    """Write the file; False if the disk is full."""
    content = _with_account(call, path.read_bytes().decode("latin-1")).encode("latin-1")
    gate = call.folder / GATES / TORN
    try:
        if gate.exists():
            _write_in_two(call, path, content, float(gate.read_text() or 0.5))
        else:
            _replace(path, content)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def _write_in_two(call: Call, path: Path, content: bytes, share: float) -> None:
    """Write the file in place, as the real nlserver may: first this share of it, then the rest."""
    cut = int(len(content) * share)
    with path.open("wb", buffering=0) as file:
        file.write(content[:cut])
        call.pass_gate(TORN)
        file.write(content[cut:])


def _with_account(call: Call, text: str) -> str:
    organization, client, account, _ = call.value.split("/")
    same = hmac.digest(call.key, call.secret, "sha256")[:16]
    nonce = same if "deterministic" in call.faults else os.urandom(16)
    secret = b"a value of its own" if "third_value" in call.faults else call.secret
    ims = {
        "authIMSTAClientId": client,
        "authIMSTAId": account,
        "authIMSTAClientSecret": encrypt(secret, call.key, nonce),
    }
    place = ("ims",) if "second_node" in call.faults else ("shared", "ims")
    told = "" if "empties_organization" in call.faults else organization
    text = with_element(text, place, ims)
    return with_element(text, ("web", "redirection"), {"IMSOrgId": told})


def _misbehave(call: Call) -> None:
    """Do what the faults say that comes before any work: wait, or write too much or the wrong things."""
    if "slow" in call.faults or "hang" in call.faults:
        time.sleep(NOT_FOR_EVER if "hang" in call.faults else call.faults["slow"])
    if "echo_secret" in call.faults:
        write(f"-setimsoauth:{call.value}\n".encode("latin-1") + call.secret + b"\n")
        write(base64.b64encode(call.secret) + b"\n")
    if "escape_codes" in call.faults:
        write(b"\x1b[31m\x1b]0;title\x07\x1b[2J\x9b1m" + "\u202e\u2066 left\r\x00\x08".encode() + b"\xff\n")
    if "flood" in call.faults or "flood_100mb" in call.faults:
        _flood(100 * 1024 * 1024 if "flood_100mb" in call.faults else None)


def _flood(size: int | None) -> None:
    block = b"12:00:00 >   nothing of interest\n" * 1024
    end, sent = time.monotonic() + NOT_FOR_EVER, 0
    while time.monotonic() < end and (size is None or sent < size):
        write(block)
        sent += len(block)


ACTIONS = {
    "pdump": _pdump,
    "?": _help,
    "reload": _reload,
    "restart": _restart,
    "setimsoauth": _set_account,
    "unknown": _unknown,
}


def main(program: Path, arguments: list[str]) -> int:
    """Carry out one command line of the `nlserver` at `program`; return its exit code."""
    # A program in C++ dies when nobody reads what it writes; Python alone would not.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if str(program.parent.parent / "lib") not in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        sys.stderr.write("nlserver: error while loading shared libraries: libneolane.so: cannot open it\n")
        return 127
    call = Call(program, arguments)
    call.record("started")
    call.pass_gate(call.action)
    if "no_banner" not in call.faults:
        call.banner()
    _misbehave(call)
    status = ACTIONS[call.action](call)
    call.record("ended", exit=status)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve(), sys.argv[1:]))
