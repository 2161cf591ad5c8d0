# Sourced by tools/judge and tools/browser-test: start and stop a throw-away demo server.
# Each start is a new server on a new data folder, because a judge changes and locks what it touches.
#
# After start_server: base_url, server_data (has sign-ins.json), server_log. The caller sets `work`,
# a private folder, and calls stop_server in its EXIT trap.

server_pid=""
server_data=""
server_starts=0

say() { printf '%s\n' "$*" >&2; }

start_server() {
    stop_server
    local binary=${HALF_SKY_BIN:-$root/target/debug/half-sky}
    [[ -x $binary ]] || { say "no service binary at ${binary#"$root"/}: build it first (cargo build), or set HALF_SKY_BIN"; return 1; }
    # The service runs its database as a user of its own, who must be able to walk in here.
    server_data=$(mktemp -d "${TMPDIR:-/tmp}/half-sky-judge-data.XXXXXX")
    chmod 0711 "$server_data"
    server_starts=$((server_starts + 1))
    server_log="$work/server-$server_starts.log"
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    base_url="http://127.0.0.1:$port"
    # Rate limits are tested by cargo test; here a 429 would only hide the answer that is being judged.
    # Tokens outlive a run, so that a 401 always means something. X-Forwarded-For is believed, so that the judge can be
    # an attacker on another network than its own sign-ins (schemathesis_hooks.py).
    # The name of the binary is a setting of ours, and the service refuses variables it does not know.
    env --unset=HALF_SKY_BIN \
        HALF_SKY_HTTP="127.0.0.1:$port" HALF_SKY_DATA="$server_data" \
        HALF_SKY_RATE_LIMIT_SCALE=10000 HALF_SKY_ACCESS_TOKEN_MINUTES=120 \
        HALF_SKY_TRUSTED_PROXIES=127.0.0.1/32 \
        "$binary" >"$server_log" 2>&1 </dev/null &
    server_pid=$!
    local tries
    for ((tries = 0; tries < 600; tries++)); do  # 5 minutes: a first start makes a database and loads demo data
        if curl -fsS -o /dev/null --max-time 5 "$base_url/health/ready" 2>/dev/null && [[ -s $server_data/sign-ins.json ]]; then
            return 0
        fi
        kill -0 "$server_pid" 2>/dev/null || { say "the server ended before it was ready:"; tail -n 40 "$server_log" >&2; server_pid=""; return 1; }
        sleep 0.5
    done
    say "the server did not become ready:"; tail -n 40 "$server_log" >&2
    return 1
}

# Ends the server and removes its data. Fails if it had to be killed: a service must stop when asked.
stop_server() {
    local status=0 tries
    if [[ -n $server_pid ]]; then
        kill -TERM "$server_pid" 2>/dev/null || true
        for ((tries = 0; tries < 120; tries++)); do  # 60 s: longer than any drain
            kill -0 "$server_pid" 2>/dev/null || break
            sleep 0.5
        done
        if kill -0 "$server_pid" 2>/dev/null; then
            say "the server did not stop on SIGTERM and was killed"
            kill -KILL "$server_pid" 2>/dev/null || true
            status=1
        fi
        wait "$server_pid" 2>/dev/null || true
        server_pid=""
    fi
    if [[ -n $server_data ]]; then
        rm -rf "$server_data"
        server_data=""
    fi
    return $status
}
