# Owns one private PostgreSQL and ends it when the service ends, however the service ends.
#
#   stdin   a pipe whose other end only the service holds: its end of file means that the service is gone
#   stdout  the lock of the folder: kept by every process below that lives, the postmaster included
#   stderr  the server's log
#   args    FOLDER keep|remove SOCKET_FOLDER BIN_FOLDER LOCALE POSTGRES_OPTION...

folder=$1 fate=$2 socket=$3 bin=$4 locale=$5
shift 5
exec 3>&1 4<&0 >&2 </dev/null
umask 077

# A service manager that ends the whole group must not end the watchdog before the server. SIGINT is our own
# signal (see below): this shell outlives it, the programs it runs do not.
trap '' TERM HUP
trap 'ended=yes' INT
ended=

# Waits for the end of the service, then asks initdb or the postmaster to end (SIGINT is its fast shutdown);
# again and again, because a signal that arrives between two programs would be lost, but not for ever, should
# somebody have killed this shell.
(
    read -r _ <&4
    tries=300
    while kill -INT 0; [ "$tries" -gt 0 ] && kill -0 $$ 2>/dev/null; do
        sleep 0.2 4<&-
        tries=$((tries - 1))
    done
) 3>&- &
watcher=$!

# Everybody who reaches the socket is trusted, because only the database's user and root reach its folder.
# initdb is not atomic: it works aside, and the finished folder is renamed.
make_data() {
    [ "$fate" = remove ] && set -- --no-sync
    rm -rf "$folder/data.new"
    "$bin/initdb" -A trust -U postgres -E UTF8 --locale="$locale" "$@" -D "$folder/data.new" 4<&- &&
        mv "$folder/data.new" "$folder/data"
}

# In the foreground, since what a shell puts into the background ignores SIGINT until it installs a handler.
{ [ -d "$folder/data" ] || make_data; } && [ -z "$ended" ] &&
    "$bin/postgres" -D "$folder/data" -k "$socket" "$@" 4<&-
status=$?

kill -KILL "$watcher"
[ "$socket" = "$folder" ] || rmdir "$socket"
[ "$fate" = remove ] && rm -rf "$folder"
exit "$status"
