#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# All of the role `usual` in one script. Looks before it does anything; the last line tells how many things it has changed.
set -eu

name=app link=v-app uplink=eth0 network=10.200.0.0/30 gateway=10.200.0.1 address=10.200.0.2 prefix=30 port=10105
nameserver=198.51.100.1 user=daemon
unit=/etc/systemd/system/$name.service
changed=0 restart=0

did() { changed=$((changed + 1)); }

unless() { # unless READING COMMAND...: run the command if the one that reads fails
    if ! sh -c "$1" >/dev/null 2>&1; then
        shift
        "$@"
        did
    fi
}

file() { # file PATH: with the text of standard input
    text=$(cat)
    if [ "$(cat "$1" 2>/dev/null)" != "$text" ]; then
        printf '%s\n' "$text" >"$1.new"
        chmod 644 "$1.new"
        mv "$1.new" "$1"
        did
        restart=1
    fi
}

rule() { # rule TABLE CHAIN WORD...
    table=$1 chain=$2
    shift 2
    if ! iptables -t "$table" -C "$chain" "$@" 2>/dev/null; then
        iptables -t "$table" -A "$chain" "$@"
        did
    fi
}

unless "test -e /run/netns/$name" ip netns add $name
unless "test -e /sys/class/net/$link" ip link add $link type veth peer name eth0 netns $name
unless "ip -o address show dev $link | grep -qF ' $gateway/$prefix '" ip address add $gateway/$prefix dev $link
unless "ip -n $name -o address show dev eth0 | grep -qF ' $address/$prefix '" \
    ip -n $name address add $address/$prefix dev eth0
unless "ip -o link show dev $link | grep -q '[<,]UP[,>]'" ip link set $link up
unless "ip -n $name -o link show dev lo | grep -q '[<,]UP[,>]'" ip -n $name link set lo up
unless "ip -n $name -o link show dev eth0 | grep -q '[<,]UP[,>]'" ip -n $name link set eth0 up
unless "ip -n $name route show default | grep -qF 'via $gateway '" ip -n $name route replace default via $gateway

mkdir -p /etc/netns/$name
file /etc/netns/$name/resolv.conf <<EOF
nameserver $nameserver
EOF

unless "iptables -S FORWARD | grep -qx -e '-P FORWARD DROP'" iptables -P FORWARD DROP
rule filter FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
rule filter FORWARD -i $link -o $uplink -s $network -j ACCEPT
for proto in tcp udp; do
    rule filter FORWARD -i $uplink -o $link -d $address -p $proto --dport $port -j ACCEPT
    rule nat PREROUTING -i $uplink -p $proto --dport $port -j DNAT --to-destination $address:$port
done
rule nat POSTROUTING -s $network -o $uplink -j MASQUERADE

file /etc/sysctl.d/60-$name.conf <<EOF
net.ipv4.ip_forward=1
EOF
unless "grep -qx 1 /proc/sys/net/ipv4/ip_forward" sysctl -q -w net.ipv4.ip_forward=1

file $unit <<EOF
[Unit]
Description=Daemon $name in its network namespace
After=network.target

[Service]
ExecStart=/usr/bin/python3 /opt/answer.py serve app $port
User=$user
NetworkNamespacePath=/run/netns/$name
BindReadOnlyPaths=/etc/netns/$name/resolv.conf:/etc/resolv.conf
NoNewPrivileges=true
CapabilityBoundingSet=
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=true
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
EOF
if [ $restart = 1 ]; then
    systemctl daemon-reload
    systemctl restart $name
fi
unless "systemctl -q is-enabled $name" systemctl -q enable $name
unless "systemctl -q is-active $name" systemctl start $name
echo changed=$changed
