#!/bin/sh
# What the portal runs on a container. It is public and contains no value: the account arrives as one line on
# stdin, after this script said that it is ready. Before it comes a harmless line, many times, for `hear`. The
# account is enciphered with a one-time pad that this script made up, so nobody else can read the line.
#
#   sh -c '<this text>' portal <nonce> apply|look|read <instance> <root> <fence> <attempt> <flags> <limit> [user]
#      [portal] [over]
#
# `read` tells what every instance of the container has in its file. It is for all of them, so what it is given
# as instance, fence, attempt, flags and limit does not matter, and it creates, changes and stores nothing.
#
# `portal` is the id of the portal that speaks, and is kept with what it wrote. Where another one wrote last,
# nothing is sent, unless an admin gave that one's id as `over` (or the number of a push that nobody knows).
#
# It answers with lines `PORTAL <nonce> key=value`; everything else on stdout is noise, or nlserver speaking.
# Exit: 0 done, 90 not ready, 93 busy, 94 late, 95 a newer conversation was here, 96 bad arguments,
# 97 the line was cut off or did not reach nlserver, 98 the line is malformed. Needs a POSIX sh whose printf is
# built in.
#
# A fleet runs this at once, and every process that it starts costs more than all it does itself: hence shell
# built-ins where a tool would be the usual way, and tools that share one `$( )`. What ends with `exec` runs in
# a subshell, which becomes the tool instead of starting it.

set +aCefmuvx
exec 2>&1 4>&1

# Start-up files were read before this script, and can leave things in the environment that act on every shell
# below: options (allexport would export the account), functions named like commands, files to read first. Bash
# even reads ~/.bashrc around a command where SSH_CLIENT is set. dash and BusyBox pass no functions on.
case ${BASH_VERSION-} in
'') unset SHELLOPTS BASHOPTS ;;
*)
    # shellcheck disable=SC3044,SC3045 # only bash comes here
    export -n SHELLOPTS BASHOPTS
    unset -f declare
    # shellcheck disable=SC3044
    for each in $(declare -Fx); do
        case $each in declare | -*) ;; *) unset -f "$each" ;; esac
    done
    ;;
esac
unset BASH_ENV ENV SSH_CLIENT SSH2_CLIENT TMOUT
# A variable that comes exported stays exported, so those that will hold private text begin anew.
unset line heard each text result found pair value told digested environment kept pad plain rest code

nonce=$1 mode=$2 instance=$3 root=$4 fence=$5 attempt=$6 flags=$7 limit=$8 user=${9:-neolane}
portal=${10-} over=${11-}
letters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz
digits=0123456789
HARMLESS_LINES=64
PAD_BYTES=1024
READY_SECONDS=30
PROBE_SECONDS=15
RELOAD_SECONDS=30
MOST_BYTES=16777216
newline='
'
told=

# say <key=value>: kept until the next flush. The leading newline is for whatever stands unfinished on the line.
say() {
    told="$told${newline}PORTAL $nonce $1$newline"
}

flush() {
    printf '%s' "$told"
    told=
}

# A process that a start-up file left behind may keep the output open, so the end is said, too.
leave() {
    say "exit=$1"
    flush
    exit "$1"
}

stop() {
    say "$2"
    leave "$1"
}

check_arguments() {
    case $nonce in '' | *[!$letters$digits]*) exit 96 ;; esac
    case $mode in apply | look | read) ;; *) stop 96 argument=mode ;; esac
    is_instance "$instance" || stop 96 argument=instance
    case $root in /*) ;; *) stop 96 argument=root ;; esac
    case $root in *..* | *[!$letters$digits/._-]*) stop 96 argument=root ;; esac
    check_number fence "$fence"
    check_number attempt "$attempt"
    check_number limit "$limit"
    case $user in '' | -* | *[!$letters${digits}._-]*) stop 96 argument=user ;; esac
    case $portal in *[!$letters$digits]*) stop 96 argument=portal ;; esac
    case $over in *[!$letters$digits.]*) stop 96 argument=over ;; esac
}

is_instance() {
    case $1 in default | '' | -* | _* | *[!$letters${digits}_-]*) return 1 ;; esac
}

check_number() {
    case $2 in '' | *[!$digits]* | ????????????????*) stop 96 "argument=$1" ;; esac
}

# Also keeps the umask that was found, as the first line of one and the same subshell.
check_user() {
    me=$(umask && exec id -un)
    mask=${me%%"$newline"*}
    me=${me#"$mask"} me=${me#"$newline"}
    say "user=$me"
    # Anybody else (root above all) would leave files behind that neolane cannot write.
    [ "$me" = "$user" ] || leave 90
    # Whoever waits has to know that no password is being asked for.
    flush
}

check_tools() {
    missing=
    more=
    [ "$mode" != read ] || more=stat
    [ "$mode" != apply ] || more="od"
    for tool in awk chmod date flock id ls mkdir mv sha256sum sleep timeout $more; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    # A printf that is a program would carry the account in its arguments. Where no programs are, only a
    # built-in is found.
    PATH=/dev/null printf '' 2>/dev/null || missing="$missing builtin-printf"
    [ "$mode" != apply ] || [ -r /dev/urandom ] || missing="$missing urandom"
    [ -z "$missing" ] || stop 90 "tools=${missing# }"
}

find_nlserver() {
    for base in "$root/nl7" "$root/nl6"; do
        nlserver=$base/bin/nlserver
        [ -f "$nlserver" ] && [ -x "$nlserver" ] && break
        nlserver=missing
    done
    say "nlserver=$nlserver"
    [ "$nlserver" != missing ] || leave 90
}

check_config() {
    config=$base/conf/config-$instance.xml
    [ -f "$config" ] || stop 90 config=missing
    [ -r "$config" ] || stop 90 config=readonly
    [ "$mode" = look ] || [ -w "$config" ] || stop 90 config=readonly
    say config=present
}

# The files of this script are for their owner; `run` gives nlserver the umask back that was found.
check_state() {
    umask 077
    state=$base/var/campaign-portal
    [ -d "$state" ] || { mkdir -p "$state" && chmod 700 "$state"; } 2>/dev/null
    # Permission is not room: on a full disk only a real write fails. What is in the lock file does not matter.
    room=................................................................
    for _ in 2 4 8 16 32 64; do room=$room$room; done
    { printf '%s\n' "$room" >"$state/$instance.lock" && printf '' >"$state/$instance.lock"; } 2>/dev/null ||
        stop 90 state=unwritable
}

# store <suffix> <text>: replaces a state file as a whole or not at all.
store() {
    { printf '%s\n' "$2" >"$state/$instance.$1.new"; } 2>/dev/null &&
        mv -f "$state/$instance.$1.new" "$state/$instance.$1" 2>/dev/null
}

# env.sh is written for a person's shell, so bash reads it where there is one. It has a shell to itself, which
# ends before the account is asked for: it may exit, trap, print or redefine what it likes. Its exported
# variables and its umask are all that is kept. (A variable that it unsets stays set.)
find_environment() {
    environment=
    if [ -f "$base/env.sh" ]; then
        run probe source_environment
        [ -z "$environment" ] || return 0
        say environment=unusable
    fi
    run probe start "$PROBE_SECONDS" pdump
}

# Prints the umask, the variables as commands, the mark, and what nlserver says. Only descriptor 8 is heard.
source_environment() (
    env_shell="sh"
    command -v bash >/dev/null 2>&1 && env_shell="bash --norc --noprofile -p"
    export portal_nonce="$nonce"
    exec 8>&1 >/dev/null 2>&1 </dev/null
    # shellcheck disable=SC2086 # words
    exec timeout -k 5 "$PROBE_SECONDS" $env_shell -c "$SOURCE" "$nlserver"
)
EXPORTS='
    BEGIN {
        split("ENV UID EUID PPID SHELLOPTS IFS PWD OLDPWD SHLVL _ POSIXLY_CORRECT portal_nonce", names, " ")
        for (each in names) skipped[names[each]]
        for (name in ENVIRON) {
            if (name !~ /^[A-Za-z_][A-Za-z0-9_]*$/ || name ~ /^BASH/ || name in skipped) continue
            count = split(ENVIRON[name], piece, "\047")
            value = piece[1]
            for (each = 2; each <= count; each++) value = value "\047\\\047\047" piece[each]
            print "export " name "=\047" value "\047"
        }
        print ENVIRON["portal_nonce"] " began"
    }
'
# What comes after env.sh uses no positional parameter, alias or function, because env.sh may set them. An
# assignment alone cannot be redefined, and this one makes bash prefer the real `unset` and `exec`.
# shellcheck disable=SC2016
SOURCE='. "${0%/bin/nlserver}/env.sh" 8>&-
POSIXLY_CORRECT=y
\unset -f umask awk
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
\umask >&8
\awk '"'$EXPORTS' >&8"'
\exec "$0" pdump >&8 2>&8 8>&-'

# launch <command...>: becomes that command, in the environment of env.sh. Its variables may have the names of
# ours, so nothing but arguments is used afterwards.
launch() {
    eval "$environment"
    PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
    exec "$@"
}

start() (
    printf '%s began\n' "$nonce"
    seconds=$1
    shift
    launch timeout -k 5 "$seconds" "$nlserver" "$@" </dev/null 9>&-
)

# The account stands in no arguments but those of nlserver itself: this shell takes it from a pipe.
# shellcheck disable=SC2016
CONFIGURE='unset portal_line; IFS= read -r portal_line || exit 97; printf "%s began\n" "$0"
exec "$1" config "-instance:$2" "-setimsoauth:$portal_line" </dev/null'

configure() {
    printf '%s\n' "$line" |
        launch timeout -k 5 "$limit" sh -c "$CONFIGURE" "$nonce" "$nlserver" "$instance"
}

# run <name> <command...>: says what the command printed, and its exit status. A process that the command left
# behind may keep the pipe open; the mark after the command's end is what ends the reading.
run() {
    name=$1
    shift
    say "run=$name"
    flush
    result=$(
        {
            umask "$mask"
            "$@" 2>&1 4>&-
            printf '\n%s ended %s\n' "$nonce" "$?"
        } | relay
    )
    [ "$name" != probe ] || keep_environment
    result=${result%%"$newline"*}
    rc=${result%% *} build=${result##* }
    errors=${result#* } errors=${errors%% *}
    # The shell that waits for the command was killed, so nobody knows how it ended.
    case $rc in '' | *[!$digits]*) rc=137 errors=0 && say "relay.$name=cut" ;; esac
    # Nothing was changed: nlserver comes after the mark.
    [ "$name$errors" != config- ] || stop 97 line=unread
    say "rc.$name=$rc"
    say "errors.$name=$errors"
    case $build in '' | -) ;; *) say "build=$build" ;; esac
}

keep_environment() {
    case $result in *"$newline"*) ;; *) return ;; esac
    environment=${result#*"$newline"}$newline
    mask=${environment%%"$newline"*}
    environment=${environment#*"$newline"}
}

# Reads to the end whatever its own reader does (nlserver must not die of a broken pipe), keeps the first
# 64 KiB and passes them on at the end. A long line is cut at a blank, lest half a secret escapes redaction.
# What nlserver says lies between two marks, and is judged here, where nobody else can put in a line. Prints the
# exit status, whether a line was marked as an error (1, 0, or - if nlserver did not begin), and the build or -;
# then the lines of `source_environment`.
relay() {
    LC_ALL=C text='' space=65536 status=- marked=- build=- kept=
    while IFS= read -r each; do
        case $each in
        "$nonce began")
            marked=0
            continue
            ;;
        "$nonce ended "*)
            status=${each##* }
            break
            ;;
        *'>>>'*) [ "$marked" = - ] || { is_error && marked=1; } ;;
        esac
        case $name$marked$build in
        probe-*)
            kept=$kept$newline$each
            continue
            ;;
        probe*-) find_build ;;
        esac
        [ "$space" -gt 0 ] || continue
        [ "${#each}" -le 8192 ] || shorten
        text=$text$each$newline
        space=$((space - ${#each} - 1))
    done
    # The line end before the mark.
    text=${text%"$newline"}
    printf '%s' "$text" 2>/dev/null >&4
    [ "$marked" != - ] || kept=
    printf '%s %s %s%s' "$status" "$marked" "$build" "$kept"
}

# Sets `build` to what follows the word in this line: a number, or 9383@4a05ee3d089.
find_build() {
    case $each in *'build '[0-9]*) ;; *) return ;; esac
    rest=${each#*build [0-9]}
    build=${each%"$rest"}
    build=${build#"${build%?}"}${rest%%[!0-9a-f@]*}
}

# nlserver marks an error with >>>, after a time and nothing else that has a > in it.
is_error() {
    start=${each%%>*}
    [ "${#start}" -lt 40 ] || return
    case ${each#"$start"} in '>>>'*) ;; *) return 1 ;; esac
}

shorten() {
    each=$(printf '%.8192s' "$each")
    case $each in *' '*) each="${each% *} [...]" ;; *) each='[...]' ;; esac
}

# The attributes, wherever they stand: one record per tag, so memory stays small whatever the file's size.
# Ends the (sub)shell that calls it, with 0 only if all of a whole file was read: 3 if the file ends before its
# root element does, 4 if it has more of our attributes than anybody means to have.
#
# The same encrypted value can be spelled in several ways (`&#43;` for `+`, a line break within), and a program
# that writes the file anew may change the spelling. So a secret is put into one form before it is compared.
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

# report <before|held|written|after>: ids in clear, of the secret only a digest of what is encrypted in the file.
# The last reading is what the portal remembers of the file, so its stamp comes with it. Just before nlserver runs,
# a stamp tells whether the file still is what was remembered: for that it is enough to take it first.
report() {
    stamp=
    case $1 in
    after) read_stamped ;;
    held)
        found=$(
            printf '%s\n' "$(stamp)"
            attributes "$config"
        )
        unread=$?
        stamp=${found%%"$newline"*}
        found=${found#"$stamp"}
        found=${found#"$newline"}
        ;;
    *)
        found=$(attributes "$config")
        unread=$?
        ;;
    esac
    tell "$1"
}

# Sets `found` to what `attributes` finds, `unread` to its status, and `stamp` to the file's stamp: empty if it
# was another one before than after, or is not known. `read` takes no file that is larger than any configuration;
# `seen` then says so. All in one subshell, and three processes.
read_stamped() {
    found=$(
        seen=$(stamp)
        size=${seen%% *}
        case $mode$seen in
        read) seen=none ;;
        read*) [ "${size##*.}" -le "$MOST_BYTES" ] || seen=too_big ;;
        esac
        printf '%s\n' "$seen"
        case $seen in none | too_big) exit ;; esac
        (attributes "$config")
        printf '\n%s ' "$?"
        stamp
    )
    seen=${found%%"$newline"*}
    last=${found##*"$newline"}
    found=${found#"$seen"}
    found=${found#"$newline"}
    found=${found%"$newline$last"}
    unread=${last%% *}
    stamp=
    [ "$seen" != "${last#* }" ] || stamp=$seen
}

# Where the file is, its size, and when its content and its inode changed. Ends the (sub)shell that calls it.
stamp() {
    exec stat -L -c '%d.%i.%s %y %z' "$config" 2>/dev/null
}

# tell <reading>: says what `attributes` found and with which status it ended.
tell() {
    mark=none
    [ -z "$stamp" ] || say "$1.stamp=$stamp"
    while [ -n "$found" ]; do
        pair=${found%%"$newline"*}
        found=${found#"$pair"}
        found=${found#"$newline"}
        name=${pair%%=*} value=${pair#*=}
        if [ "$name" = secret ]; then
            digest "$value"
            value=$digest
            case $mark in none | "$digest") mark=$digest ;; *) mark=many ;; esac
        fi
        say "$1.$name=$value"
    done
    case $unread in
    0) say "$1.read=yes" ;;
    3) say "$1.read=torn" && mark=unread ;;
    *) say "$1.read=no" && mark=unread ;;
    esac
}

# digest <text>: sets `digest`. The same file is read up to four times.
digested='' digest=empty
digest() {
    [ "$1" != "$digested" ] || return 0
    digest=empty digested=$1
    [ -n "$1" ] || return 0
    digest=$(printf '%s' "$1" | sha256sum)
    digest=${digest%% *}
}

# Sets `now`: seconds that no clock step can move.
clock() {
    if { IFS=' .' read -r now _ </proc/uptime; } 2>/dev/null; then return; fi
    now=$(date +%s)
}

# A start-up file can leave a process behind that reads what is meant for this script, or wrap the login in a
# terminal that records it. So a harmless line comes first; the portal sends the account only if it hears that
# the harmless one arrived here. It comes many times: `read` takes one byte after the other, and a process that
# the busy host did not wake in time for the first gets something of the rest.
hear() {
    [ ! -t 0 ] || stop 90 stdin=terminal
    say listening=yes
    flush
    IFS= read -r heard || exit 97
    case $heard in *[!$letters$digits]*) heard=garbled ;; esac
    again=1
    while [ $again -lt $HARMLESS_LINES ]; do
        IFS= read -r each || exit 97
        [ "$each" = "$heard" ] || heard=garbled
        again=$((again + 1))
    done
    say "heard=$heard"
}

# Sets `pad`: random bytes, as two hexadecimal digits each, which only this shell and the portal ever know. The
# harmless lines are a test of chance: who slept through all of them could still read the account itself. It
# reads what means nothing without the pad, and stdout cannot be read on the container.
make_pad() {
    pad=$(exec od -A n -v -t x1 -N $PAD_BYTES /dev/urandom)
    # shellcheck disable=SC2086 # words
    set -- $pad
    pad=$*
    say "pad=$pad"
}

# Deciphers `line`: each byte of it came as two hexadecimal digits, and uses up one of the pad. The nonce at its
# end shows that nobody took any of it. No program sees any of this.
decipher() {
    case $line in *[!0123456789abcdef]*) stop 98 line=garbled ;; esac
    plain=
    # shellcheck disable=SC2086 # words
    set -- $pad
    pad=
    while [ -n "$line" ]; do
        rest=${line#??}
        [ "$rest" != "$line" ] || stop 98 line=garbled
        [ $# -gt 0 ] || stop 98 line=garbled
        code=$((0x${line%"$rest"} ^ 0x$1))
        plain=$plain\\0$((code / 64))$((code / 8 % 8))$((code % 8))
        line=$rest
        shift
    done
    line=$(printf '%b' "$plain")
    plain=
    case $line in *" $nonce") line=${line%" $nonce"} ;; *) stop 98 line=garbled ;; esac
}

# The newline that ends the line is the moment of commitment: a line without it is not executed.
read_line() {
    hear
    make_pad
    clock
    since=$now
    say ready
    flush
    IFS= read -r line || exit 97
    trap '' HUP PIPE
    exec </dev/null
    clock
    [ $((now - since)) -le "$READY_SECONDS" ] || stop 94 late=yes
    decipher
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
    clock
    patience=$((now + $1))
    until flock -n 9; do
        clock
        [ "$now" -lt "$patience" ] || stop 93 busy=yes
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# read_fence: who was here last, as two numbers on the first line, and on the second one the id of its portal
# (older releases wrote none).
read_fence() {
    seen_fence=0 seen_attempt=0 seen_portal=
    if [ -f "$state/$instance.fence" ]; then
        {
            IFS=' ' read -r seen_fence seen_attempt
            IFS= read -r seen_portal
        } <"$state/$instance.fence"
    fi
    case $seen_fence in '' | *[!$digits]*) seen_fence=0 ;; esac
    case $seen_attempt in '' | *[!$digits]*) seen_attempt=0 ;; esac
    case $seen_portal in *[!$letters$digits]*) seen_portal=garbled ;; esac
}

is_elsewhere() {
    case $seen_portal in '' | "$portal" | "$over") return 1 ;; esac
}

# The account is not even asked for where another portal wrote last. A look goes on: it only reads there.
check_portal() {
    read_fence
    is_elsewhere || return 0
    say "elsewhere=$seen_portal"
    [ "$mode" = look ] || leave 90
}

# Only what is newer than everything seen may write; a look may repeat its own number. Stored before nlserver
# runs: after a look no conversation that still waits for its line can write any more. (Where another portal
# wrote last, that one's id shuts it out.) What an admin took over has no say any more.
pass_fence() {
    read_fence
    if is_elsewhere; then
        [ "$mode" != look ] || return 0
        stop 95 "elsewhere=$seen_portal"
    fi
    is_taken_over || is_newer || stop 95 "newer=$seen_fence $seen_attempt"
    store fence "$fence $attempt${portal:+$newline$portal}" || stop 90 state=unwritable
}

is_taken_over() {
    [ -n "$over" ] || return
    case $over in "$portal") return 1 ;; "$seen_portal" | "$seen_fence.$seen_attempt") ;; *) return 1 ;; esac
}

is_newer() {
    [ "$fence" -eq "$seen_fence" ] || { [ "$fence" -gt "$seen_fence" ]; return; }
    [ "$attempt" -eq "$seen_attempt" ] || { [ "$attempt" -gt "$seen_attempt" ]; return; }
    [ "$mode" = look ]
}

# journal <stage>: what a lost answer would have said, as its last whole line. Neither ids nor secret: of the
# two readings around nlserver, a digest, or `empty`, `none`, `many`, `unread`. What later releases add comes
# last, so that older ones and newer ones read each other's lines.
journal() {
    entry="$fence $attempt $1 config=$config_rc reload=$reload_rc restart=$restart_rc errors=$failed"
    entry="$entry held=$held written=$written took=$took"
    if [ "$1" = begun ]; then
        store journal "$entry"
    else
        { printf '\n%s\n' "$entry" >>"$state/$instance.journal"; } 2>/dev/null
    fi
}

tell_journal() {
    entry=
    while IFS= read -r each; do
        [ -z "$each" ] || entry=$each
    done <"$state/$instance.journal"
    say "journal=$entry"
}

# note <name>: adds the step that just ran to the steps that printed an error line.
note() {
    [ "$errors" = 1 ] || return 0
    case $failed in 0) failed=$1 ;; *) failed=$failed,$1 ;; esac
}

# Four readings of the file: before the line is asked for, held under the lock, written when nlserver has ended,
# and after reload and restart. Only the last three are evidence of what nlserver did.
apply() {
    report before
    read_line
    take_lock 5
    pass_fence
    config_rc=- reload_rc=- restart_rc=- failed=0 written=- took=-
    report held
    held=$mark
    journal begun || stop 90 state=unwritable
    clock
    since=$now
    run config configure
    line=
    clock
    took=$((now - since))
    say "took.config=$took"
    config_rc=$rc
    note config
    report written
    written=$mark
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
    [ ! -f "$state/$instance.journal" ] || tell_journal
    report after
}

MOST_FILES=200

# Every file `config-<instance>.xml`, whether or not the portal knows the instance. Names that no instance can
# have are only counted, and so are files beyond the first two hundred. When nobody listens any more (a push
# became due here, say), the next word ends it, so that it holds no lock for nobody.
survey() {
    state=$base/var/campaign-portal
    count=0 strange=0
    clock
    deadline=$((now + 20))
    for config in conf/config-*.xml; do
        name=${config#conf/config-}
        name=${name%.xml}
        [ "$name" != default ] || continue
        [ "$name" != '*' ] || [ -e "$config" ] || continue
        if ! is_instance "$name" || [ "${#name}" -gt 40 ]; then
            strange=$((strange + 1))
            continue
        fi
        count=$((count + 1))
        [ "$count" -gt "$MOST_FILES" ] || survey_file
    done
    say "strange=$strange"
    [ "$count" -le "$MOST_FILES" ] || say "further=$((count - MOST_FILES))"
}

survey_file() {
    say "instance=$name"
    [ -f "$config" ] || { say file=none && return; }
    [ -r "$config" ] || { say file=unreadable && return; }
    wait_for_push || { say file=busy && return; }
    read_twice
    exec 9<&-
    flush
}

# While a push is under way the file is about to change. The lock is taken only where its file exists, which
# opening it for reading does not change, and for at most two seconds, or twenty for all files.
wait_for_push() {
    [ -r "$state/$name.lock" ] || return 0
    exec 9<"$state/$name.lock"
    clock
    patience=$((now + 2))
    [ "$patience" -le "$deadline" ] || patience=$deadline
    until flock -n 9; do
        clock
        [ "$now" -lt "$patience" ] || { exec 9<&- && return 1; }
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# Somebody else may write the file meanwhile: its stamp is the same before and after, or it is read once more.
read_twice() {
    for _ in first second; do
        read_stamped
        case $seen in none | too_big) say "file=$seen" && return ;; esac
        [ -z "$stamp" ] || break
    done
    [ -n "$stamp" ] || { say file=moving && return; }
    tell now
}

check_arguments
check_tools
check_user
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
find_nlserver
cd "$base" || leave 90
case $mode in
read)
    find_environment
    survey
    ;;
*)
    check_config
    check_state
    check_portal
    find_environment
    "$mode"
    ;;
esac
say done=yes
flush
