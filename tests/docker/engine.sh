#!/bin/sh
# Run a Docker engine in namespaces of its own until the process that started this one ends, by whatever signal, and
# remove all that it leaves: `setpriv --pdeathsig TERM sh engine.sh FOLDER CGROUP`. The folder gets `docker.sock`, `log`,
# and `pid`, a process in the engine's network namespace.
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
# The end of the first process of a PID namespace ends all others in it, and the network and mounts go with the last one.
setpriv --pdeathsig KILL unshare --pid --net --mount --fork --kill-child=KILL --mount-proc sh -c '
    ip link set lo up
    exec dockerd --iptables=false --ip-masq=false --bip 172.30.0.1/24 --cgroup-parent "/$2" --shutdown-timeout 1 \
        --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/dockerd.pid" --host "unix://$1/docker.sock"
' sh "$folder" "$cgroup" >"$folder/log" 2>&1 &
engine=$!
echo "$engine" >"$folder/pid"
wait "$engine"
