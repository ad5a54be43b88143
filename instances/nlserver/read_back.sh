#!/bin/sh
# Tells what the file of one Campaign instance holds, for a person to paste into the portal where the portal
# cannot reach the container itself. It changes nothing, sends nothing, and prints no secret: of the encrypted
# one in the file only a digest, as the portal's own script does. Run it as neolane:
#
#   sh read-back.sh <instance> <container, as the portal calls it> [install root]
#
# The block ends with a checksum of itself, so that the portal notices if it was cut off or changed on its way.
# Needs a POSIX sh, awk, date, id, sha256sum and tr; stat and timeout where there are any. Exit: 0 a block was
# printed, 64 wrong arguments, 69 a tool is missing, 66 the file cannot be read, 75 it is being written.

set +aCefmuvx
unset line found pair value digest nonce build host stamp

instance=$1 container=$2 root=${3:-/usr/local/neolane}
letters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz
digits=0123456789
PROBE_SECONDS=20
newline='
'
block=
LC_ALL=C
export LC_ALL

fail() {
    printf 'read-back: %s\n' "$2" >&2
    exit "$1"
}

check_arguments() {
    case $instance in
    default | '' | -* | _* | *[!$letters${digits}_-]*) fail 64 'the first argument is the name of an instance' ;;
    esac
    case $container in
    '' | -* | .* | _* | *[!$letters${digits}._-]*) fail 64 'the second argument is the name of the container in the portal' ;;
    esac
    case $root in
    *..* | *[!$letters$digits/._-]*) fail 64 'the third argument is the folder above nl6 or nl7' ;;
    /*) ;;
    *) fail 64 'the third argument is the folder above nl6 or nl7' ;;
    esac
}

check_tools() {
    for tool in awk date id sha256sum tr uname; do
        command -v "$tool" >/dev/null 2>&1 || fail 69 "this server has no $tool"
    done
}

find_config() {
    for base in "$root/nl7" "$root/nl6"; do
        nlserver=$base/bin/nlserver
        [ -f "$nlserver" ] && [ -x "$nlserver" ] && break
        nlserver=
    done
    [ -n "$nlserver" ] || fail 66 "there is no nlserver below $root that $(id -un) can run"
    config=$base/conf/config-$instance.xml
    [ -f "$config" ] || fail 66 "there is no $config"
    [ -r "$config" ] || fail 66 "$(id -un) cannot read $config"
}

# The same function as in the portal's own script, word for word: a test compares them.
attributes() {
    export LC_ALL=C
    exec awk '
        function plain(value,    before, code, hex) {
            while (match(value, /&#[0-9]+;|&#x[0-9A-Fa-f]+;/)) {
                before = substr(value, 1, RSTART - 1)
                code = substr(value, RSTART + 2, RLENGTH - 3)
                value = substr(value, RSTART + RLENGTH)
                if (substr(code, 1, 1) == "x") {
                    hex = tolower(substr(code, 2))
                    code = 0
                    for (; hex != ""; hex = substr(hex, 2))
                        code = code * 16 + index("0123456789abcdef", substr(hex, 1, 1)) - 1
                }
                code += 0
                done = done before sprintf("%c", (code > 0 && code < 128) ? code : 63)
            }
            value = done value
            done = ""
            gsub(/&lt;/, "<", value)
            gsub(/&gt;/, ">", value)
            gsub(/&quot;/, "\"", value)
            gsub(/&apos;/, "\047", value)
            gsub(/&amp;/, "\\&", value)
            gsub(/[ \001-\037\177]/, "", value)
            return value
        }
        BEGIN {
            RS = "<"
            key["authIMSTAClientId"] = "client_id"
            key["authIMSTAId"] = "technical_account_id"
            key["authIMSTAClientSecret"] = "secret"
            key["authIMSTAPrivateKey"] = "jwt"
            key["IMSOrgId"] = "organization_id"
        }
        NR == 1 { next }
        ending != "" { if (index($0, ending)) ending = ""; next }
        substr($0, 1, 3) == "!--" { if (!index(substr($0, 4), "-->")) ending = "-->"; next }
        substr($0, 1, 8) == "![CDATA[" { if (!index($0, "]]>")) ending = "]]>"; next }
        /^[!?]/ { next }
        { last = $0 }
        /^\// { next }
        {
            tag = $0
            match(tag, /^[^ \t\r\n\/>]+/)
            if (root == "") {
                root = substr(tag, 1, RLENGTH)
                alone = tag ~ /\/>[ \t\r\n]*$/
            }
            tag = substr(tag, RLENGTH + 1)
            while (match(tag, /^[ \t\r\n]*[^ \t\r\n=\/>]+[ \t\r\n]*=[ \t\r\n]*/)) {
                name = substr(tag, 1, RLENGTH)
                gsub(/[ \t\r\n=]/, "", name)
                tag = substr(tag, RLENGTH + 1)
                quote = substr(tag, 1, 1)
                if (quote != "\"" && quote != "\047") break
                tag = substr(tag, 2)
                end = index(tag, quote)
                if (!end) break
                value = substr(tag, 1, end - 1)
                tag = substr(tag, end + 1)
                if (!(name in key)) continue
                if (++count > 40) exit
                if (key[name] == "secret") value = plain(value)
                gsub(/[\001-\037\177]/, " ", value)
                if (key[name] == "jwt" && value != "") value = "yes"
                if (key[name] != "secret") value = substr(value, 1, 200)
                print key[name] "=" value
            }
        }
        END {
            if (count > 40) exit 4
            sub(/[ \t\r\n]+$/, "", last)
            gsub(/[ \t\r\n]/, "", last)
            if (root == "" || ending != "" || (last != "/" root ">" && !alone)) exit 3
        }
    ' "$1"
}

# Likewise.
stamp() {
    exec stat -L -c '%d.%i.%s %y %z' "$config" 2>/dev/null
}

say() {
    block=$block$1$newline
}

digest_of() {
    digest=$(printf '%s' "$1" | sha256sum)
    digest=${digest%% *}
}

# Somebody else may write the file meanwhile: its stamp is the same before and after, or it is read once more.
read_file() {
    for _ in first second; do
        stamp=$(stamp)
        found=$(attributes "$config")
        unread=$?
        [ "$stamp" = "$(stamp)" ] && return
    done
    fail 75 "somebody is writing $config: try again"
}

# What stands in the file is printed as plain ASCII without blanks, so that no mail or chat program changes it.
# A value in the wrong field may be a secret in clear: what looks like one is not printed.
tell_file() {
    [ -z "$stamp" ] || say "stamp=$(printf '%s' "$stamp" | tr ' ' '_')"
    while [ -n "$found" ]; do
        pair=${found%%"$newline"*}
        found=${found#"$pair"}
        found=${found#"$newline"}
        name=${pair%%=*} value=${pair#*=}
        case $name in
        secret)
            digest=empty
            [ -z "$value" ] || digest_of "$value"
            value=$digest
            ;;
        *)
            case $value in *[PpSs]8[Ee]*) value=not-shown ;; esac
            value=$(printf '%s' "$value" | tr -c '!-~' '?')
            ;;
        esac
        say "$name=$value"
    done
    case $unread in
    0) say read=yes ;;
    3) say read=torn ;;
    *) say read=no ;;
    esac
}

# env.sh is written for a person's shell, so bash reads it where there is one.
# shellcheck disable=SC2016
PROBE='. "$0/env.sh" >/dev/null 2>&1
exec "$0/bin/nlserver" pdump'

probe() {
    shell=sh limit=
    command -v bash >/dev/null 2>&1 && shell=bash
    command -v timeout >/dev/null 2>&1 && limit="timeout $PROBE_SECONDS"
    # shellcheck disable=SC2086 # words
    $limit $shell -c "$PROBE" "$base" </dev/null 2>&1
}

find_build() {
    build=$(probe | awk '
        !done && match($0, /build [0-9]+@?[0-9a-f]*/) {
            print substr($0, RSTART + 6, RLENGTH - 6)
            done = 1
        }
    ')
}

check_arguments
check_tools
find_config
read_file
find_build
host=$(uname -n | tr -c '!-~\n' '?')
nonce=$({
    date
    id
    printf '%s %s %s\n' "$$" "$host" "$stamp"
    head -c 32 /dev/urandom
} 2>/dev/null | sha256sum)
say "container=$container"
say "instance=$instance"
say "host=${host:-unknown}"
say "at=$(date -u +%Y%m%dT%H%M%SZ)"
say "nonce=$(printf '%.32s' "$nonce")"
[ -z "$build" ] || say "build=$build"
tell_file
digest_of "$block"
printf 'READ-BACK 1 BEGIN\n%scheck=%s\nREAD-BACK 1 END\n' "$block" "$digest"
