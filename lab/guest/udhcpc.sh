#!/bin/sh
# What udhcpc got, made so. A later NIC's default route never takes over from eth0's.
metric=$((100 + ${interface##*[!0-9]}))
route() { # route DESTINATION GATEWAY
  if [ "$2" = 0.0.0.0 ]; then
    ip route replace "$1" dev "$interface" metric "$metric"
  else
    ip route replace "$1" via "$2" dev "$interface" onlink metric "$metric"
  fi
}
case $1 in
bound | renew)
  ip addr replace "$ip/${mask:-24}" dev "$interface"
  # An address of an earlier lease goes; the new one is there first, so connections live on.
  ip -4 -o addr show dev "$interface" | awk '{ print $4 }' | while read -r old; do
    [ "${old%/*}" = "$ip" ] || ip addr del "$old" dev "$interface"
  done
  [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
  # RFC 3442: who sends classless routes means them instead of the router option.
  if [ -n "$staticroutes" ]; then
    set -- $staticroutes
    while [ $# -ge 2 ]; do
      route "$1" "$2"
      shift 2
    done
  elif [ -n "$router" ]; then
    route default "${router%% *}"
  fi
  if [ -n "$dns" ]; then
    for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
  fi
  ;;
deconfig)
  ip link set "$interface" up
  ;;
esac
exit 0
