#!/bin/sh
# Run a Docker engine in namespaces of its own until the process that started this one ends, by whatever signal, and
# remove all that it leaves: `setpriv --pdeathsig TERM sh engine.sh FOLDER CGROUP`. The folder gets `docker.sock`, `log`,
# and `pid`, a process in the engine's network namespace. The lines `stop` and `start` in its pipe `control` do that.
folder=$1 cgroup=$2

remove_cgroups() {
    find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null
}

end() {
    trap '' TERM INT HUP
    kill -KILL "$engine"
    wait "$engine"
    # What the kernel still ends keeps its cgroup busy.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        remove_cgroups && break
        sleep 0.2
    done
    rm -rf "$folder"
    exit
}

trap end TERM
trap '' INT HUP
mkfifo "$folder/control"
# The end of the first process of a PID namespace ends all others in it, and the network and mounts go with the last one.
setpriv --pdeathsig KILL unshare --pid --net --mount --fork --kill-child=KILL --mount-proc sh -c '
    ip link set lo up
    # A writer that has not closed the pipe yet gives the next reader nothing.
    hear() {
        word=
        while [ -z "$word" ]; do read -r word <"$1/control"; done
    }
    while :; do
        (
            dockerd --iptables=false --ip-masq=false --bip 172.30.0.1/24 --cgroup-parent "/$2" --shutdown-timeout 1 \
                --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/dockerd.pid" --host "unix://$1/docker.sock"
            echo ended >"$1/control"
        ) &
        hear "$1"
        [ "$word" = stop ] || exit
        kill "$(cat "$1/dockerd.pid")"
        hear "$1"
        touch "$1/halted"
        hear "$1"
    done
' sh "$folder" "$cgroup" >"$folder/log" 2>&1 &
engine=$!
echo "$engine" >"$folder/pid"
wait "$engine"
# It ended by itself; the log is still read.
remove_cgroups
