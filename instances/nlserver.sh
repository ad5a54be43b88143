#!/bin/sh
# What the portal runs on a container. It is public and contains no value: the account arrives as one line on
# stdin, after this script said that it is ready.
#
#   sh -c '<this text>' portal <nonce> apply|look <instance> <root> <fence> <attempt> <flags> <limit> [user]
#
# It answers with lines `PORTAL <nonce> key=value`; everything else on stdout is noise, or nlserver speaking.
# Exit: 0 done, 90 not ready, 93 busy, 94 late, 95 a newer conversation was here, 96 bad arguments,
# 97 the line was cut off, 98 the line is malformed. Needs a POSIX sh whose printf is built in.

set +x
exec 2>&1

nonce=$1 mode=$2 instance=$3 root=$4 fence=$5 attempt=$6 flags=$7 limit=$8 user=${9:-neolane}
letters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz
digits=0123456789
READY_SECONDS=30
PROBE_SECONDS=15
RELOAD_SECONDS=30
ENV_SECONDS=10
GRACE_SECONDS=2

# The leading newline is for whatever stands unfinished on the line.
say() {
    printf '\nPORTAL %s %s\n' "$nonce" "$1"
}

stop() {
    say "$2"
    exit "$1"
}

check_arguments() {
    case $nonce in '' | *[!$letters$digits]*) exit 96 ;; esac
    case $mode in apply | look) ;; *) stop 96 argument=mode ;; esac
    case $instance in default | '' | -* | _* | *[!$letters${digits}_-]*) stop 96 argument=instance ;; esac
    case $root in /*) ;; *) stop 96 argument=root ;; esac
    case $root in *..* | *[!$letters$digits/._-]*) stop 96 argument=root ;; esac
    check_number fence "$fence"
    check_number attempt "$attempt"
    check_number limit "$limit"
    case $user in '' | -* | *[!$letters${digits}._-]*) stop 96 argument=user ;; esac
}

check_number() {
    case $2 in '' | *[!$digits]* | ????????????????*) stop 96 "argument=$1" ;; esac
}

check_user() {
    say "user=$(id -un)"
    # Anybody else (root above all) would leave files behind that neolane cannot write.
    [ "$(id -un)" = "$user" ] || exit 90
}

check_tools() {
    missing=
    for tool in awk cat cut date flock head id ls mkdir mkfifo mv rm sha256sum sleep timeout tr; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    # A printf that is a program would carry the account in its arguments.
    [ "$(command -v printf)" = printf ] || missing="$missing builtin-printf"
    [ -z "$missing" ] || stop 90 "tools=${missing# }"
}

find_nlserver() {
    for base in "$root/nl7" "$root/nl6"; do
        nlserver=$base/bin/nlserver
        [ -f "$nlserver" ] && [ -x "$nlserver" ] && break
        nlserver=missing
    done
    say "nlserver=$nlserver"
    [ "$nlserver" != missing ] || exit 90
}

check_config() {
    config=$base/conf/config-$instance.xml
    [ -f "$config" ] || stop 90 config=missing
    [ -r "$config" ] || stop 90 config=readonly
    [ "$mode" = look ] || [ -w "$config" ] || stop 90 config=readonly
    say config=present
}

# No umask for the whole script: nlserver would inherit it and close its files to the web server.
check_state() {
    state=$base/var/campaign-portal
    (umask 077 && mkdir -p "$state" && chmod 700 "$state") 2>/dev/null
    (umask 077 && : >>"$state/$instance.lock") 2>/dev/null || stop 90 state=unwritable
    # Permission is not room: on a full disk only a real write fails.
    store "$nonce" "$(head -c 4096 /dev/zero | tr '\000' .)" || stop 90 state=unwritable
    rm -f "$state/$instance.$nonce"
}

# store <suffix> <text>: replaces a state file as a whole or not at all.
store() {
    (umask 077 && printf '%s\n' "$2" >"$state/$instance.$1.new") 2>/dev/null &&
        mv -f "$state/$instance.$1.new" "$state/$instance.$1" 2>/dev/null
}

# env.sh is written for a person's shell, so bash reads it where there is one. It is sourced beside us, never
# in this shell: it may exit, or set a variable or an option that this script relies on.
find_environment() {
    env_shell="sh"
    command -v bash >/dev/null 2>&1 && env_shell="bash"
    env_file=$base/env.sh
    [ -f "$env_file" ] || env_file=/dev/null
    survival=$(timeout "$ENV_SECONDS" "$env_shell" -c "$SOURCE; echo survived" "$env_file" </dev/null)
    if [ "$survival" != survived ]; then
        env_file=/dev/null
        say environment=unusable
    fi
}
# shellcheck disable=SC2016
SOURCE='. "$0" >/dev/null 2>&1 </dev/null; set +aeuvx'
# shellcheck disable=SC2016
LAUNCH="$SOURCE"'; exec "$@"'
# The account stands in no arguments but those of nlserver itself.
# shellcheck disable=SC2016
CONFIGURE="$SOURCE"'; IFS= read -r portal_line || exit 97
exec "$1" config "-instance:$2" "-setimsoauth:$portal_line" </dev/null'

start() {
    seconds=$1
    shift
    timeout -k 5 "$seconds" "$env_shell" -c "$LAUNCH" "$env_file" "$nlserver" "$@" </dev/null 9>&-
}

configure() {
    printf '%s\n' "$line" |
        timeout -k 5 "$limit" "$env_shell" -c "$CONFIGURE" "$env_file" "$nlserver" "$instance"
}

# Reads to the end whatever its own reader does (nlserver must not die of a broken pipe), keeps the first
# 64 KiB and passes them on at the end. A long line is cut at a blank, lest half a secret escapes redaction.
# Exit 3: a line was marked as an error.
# shellcheck disable=SC2016
RELAY='
    size < 65536 {
        line = substr($0, 1, 8192)
        if (length($0) > 8192) sub(/[^ ]*$/, "[...]", line)
        text = text line "\n"
        size = length(text)
    }
    substr($0, index($0, ">"), 3) == ">>>" && index($0, ">") <= 40 { failed = 1 }
    END {
        printf "%s", text | "cat 2>/dev/null || cat >/dev/null"
        close("cat 2>/dev/null || cat >/dev/null")
        exit failed ? 3 : 0
    }
'

# run <name> <command...>: says what the command printed, and its exit status. A process that the command left
# behind may keep the pipe open; it is not waited for.
run() {
    name=$1 pipe=$state/$instance.$nonce.pipe
    shift
    say "run=$name"
    (umask 077 && mkfifo "$pipe") 2>/dev/null || pipe=/dev/null
    LC_ALL=C awk "$RELAY" <"$pipe" 9>&- &
    reader=$!
    unlinked "$@" >"$pipe" 2>&1
    rc=$?
    (sleep "$GRACE_SECONDS" && kill "$reader") >/dev/null 2>&1 9>&- &
    killer=$!
    wait "$reader" 2>/dev/null
    relayed=$?
    { kill "$killer" && wait "$killer"; } 2>/dev/null
    errors=0
    case $relayed in 0) ;; 3) errors=1 ;; *) say "relay.$name=cut" ;; esac
    say "rc.$name=$rc"
    say "errors.$name=$errors"
}

# Once both ends are open the name is only in the way.
unlinked() {
    [ "$pipe" = /dev/null ] || rm -f "$pipe"
    "$@"
}

# The attributes, wherever they stand: one record per tag, so memory stays small whatever the file's size.
attributes() {
    LC_ALL=C awk '
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
        /^[!?\/]/ { next }
        {
            tag = $0
            sub(/^[^ \t\r\n\/>]+/, "", tag)
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
                if (name in key && ++count <= 40) {
                    gsub(/[\001-\037\177]/, " ", value)
                    print key[name] "=" value
                }
            }
        }
    ' "$1"
}

# report <before|held|after>: ids in clear, of the secret only a digest of what is encrypted in the file.
report() {
    say "$1.file=$(stat -L -c '%i %s %y %z' "$config" 2>/dev/null || ls -liL "$config")"
    attributes "$config" | while IFS= read -r pair; do
        name=${pair%%=*} value=${pair#*=}
        case $name in
        secret) value=$(digest "$value") ;;
        jwt) value=${value:+yes} ;;
        *) value=$(printf '%s' "$value" | LC_ALL=C cut -c 1-200) ;;
        esac
        say "$1.$name=$value"
    done
    say "$1.read=yes"
}

digest() {
    if [ -z "$1" ]; then
        echo empty
    else
        printf '%s' "$1" | sha256sum | cut -d ' ' -f 1
    fi
}

# Seconds that no clock step can move.
now() {
    if [ -r /proc/uptime ]; then
        cut -d . -f 1 /proc/uptime
    else
        date +%s
    fi
}

# The newline that ends the line is the moment of commitment: a line without it is not executed.
read_line() {
    since=$(now)
    say ready
    IFS= read -r line || exit 97
    trap '' HUP PIPE
    exec </dev/null
    [ $(($(now) - since)) -le "$READY_SECONDS" ] || stop 94 late=yes
    case $line in
    */*/*/*/*) stop 98 line=malformed ;;
    ?*/?*/?*/?*) ;;
    *) stop 98 line=malformed ;;
    esac
}

# take_lock <seconds>: descriptor 9 is inherited by `nlserver config`, so the lock outlives a killed script
# until nlserver has ended.
take_lock() {
    exec 9>>"$state/$instance.lock"
    patience=$(($(now) + $1))
    until flock -n 9; do
        [ "$(now)" -lt "$patience" ] || stop 93 busy=yes
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# Only what is newer than everything seen may write; a look may repeat its own number. Stored before nlserver
# runs: after a look no conversation that still waits for its line can write any more.
pass_fence() {
    seen_fence=0 seen_attempt=0
    if [ -f "$state/$instance.fence" ]; then
        IFS=' ' read -r seen_fence seen_attempt <"$state/$instance.fence"
    fi
    case $seen_fence in '' | *[!$digits]*) seen_fence=0 ;; esac
    case $seen_attempt in '' | *[!$digits]*) seen_attempt=0 ;; esac
    is_newer || stop 95 "newer=$seen_fence $seen_attempt"
    store fence "$fence $attempt" || stop 90 state=unwritable
}

is_newer() {
    [ "$fence" -eq "$seen_fence" ] || { [ "$fence" -gt "$seen_fence" ]; return; }
    [ "$attempt" -eq "$seen_attempt" ] || { [ "$attempt" -gt "$seen_attempt" ]; return; }
    [ "$mode" = look ]
}

# journal <stage>: what a lost answer would have said. Neither ids nor secret.
journal() {
    store journal "$fence $attempt $1 config=$config_rc reload=$reload_rc restart=$restart_rc errors=$failed"
}

# note <name>: adds the step that just ran to the steps that printed an error line.
note() {
    [ "$errors" = 1 ] || return 0
    case $failed in 0) failed=$1 ;; *) failed=$failed,$1 ;; esac
}

apply() {
    report before
    read_line
    take_lock 5
    pass_fence
    config_rc=- reload_rc=- restart_rc=- failed=0
    journal begun || stop 90 state=unwritable
    # Once more: between the first look and the lock somebody else may have written.
    report held
    run config configure
    line=
    config_rc=$rc
    note config
    journal configured
    [ "$config_rc" != 0 ] || follow_up
    journal "done"
    report after
}

follow_up() {
    case ,$flags, in *,reload,*)
        run reload start "$RELOAD_SECONDS" config -reload
        reload_rc=$rc
        note reload
        ;;
    esac
    case ,$flags, in *,pipelined,*)
        run restart start "$RELOAD_SECONDS" restart "pipelined@$instance"
        restart_rc=$rc
        note restart
        ;;
    esac
}

look() {
    trap '' HUP PIPE
    take_lock 70
    pass_fence
    if [ -f "$state/$instance.journal" ]; then
        say "journal=$(head -c 300 "$state/$instance.journal" | head -n 1)"
    fi
    report after
}

check_arguments
check_tools
check_user
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
find_nlserver
cd "$base" || exit 90
check_config
check_state
find_environment
run probe start "$PROBE_SECONDS" pdump
"$mode"
say done=yes
