#!/bin/sh
# Writes redis.conf, users.acl and sentinel.conf of this pod into DATA, before its Redis and its Sentinel start. Who is the master, and what
# the Sentinels have agreed on, stays what they wrote there last; all else is written anew, so that changed settings count.
#   HOST                 of this pod, as the others call it     PORT, SENTINEL_PORT
#   FIRST                host of the master of the very first start, host:port
#   SENTINELS            all of them, host:port, separated by blanks
#   SECRETS, SERVER      folders: password, sentinel-password, ca.crt; replication-password, tls.crt, tls.key
#   MAXMEMORY            of Redis, below the container's limit
set -eu
umask 077
cd "$DATA"

secret() {
  value=$(cat "$1/$2")
  case $value in
  '' | *[!A-Za-z0-9._~-]*) echo "$1/$2: letters, digits and . _ ~ - are expected" >&2; exit 1 ;;
  esac
  printf %s "$value"
}
password=$(secret "$SECRETS" password)
sentinel=$(secret "$SECRETS" sentinel-password)
replication=$(secret "$SERVER" replication-password)

# The master that another Sentinel knows of, as "host port"; nothing if none answers.
asked() {
  for s in $SENTINELS; do
    [ "$s" != "$HOST:$SENTINEL_PORT" ] || continue
    # shellcheck disable=SC2046 # two words
    set -- $(REDISCLI_AUTH=$sentinel timeout 5 redis-cli -e --no-auth-warning --tls --cacert "$SECRETS/ca.crt" \
      -h "${s%:*}" -p "${s##*:}" --raw sentinel get-master-addr-by-name tidegate 2>/dev/null) || true
    [ $# -ne 2 ] || { echo "$1 $2"; return; }
  done
}

first="${FIRST%:*} ${FIRST##*:}"
master=$(asked)
if [ ! -f redis.conf ] && [ "$master" = "$HOST $PORT" ]; then
  # As a master without its data it would empty the replicas. So it waits until the Sentinels have made another one master.
  echo "this server's volume is empty, and it is the master: waiting for a failover" >&2
  exit 1
fi
if [ -z "$master" ]; then # nobody to ask: as it was, or the first start
  if [ -f redis.conf ]; then
    master=$(sed -n 's/^replicaof "*\([^ "]*\)"* \([0-9]*\)$/\1 \2/p' redis.conf | tail -n 1)
    master=${master:-$HOST $PORT}
  else
    master=$first
  fi
fi
role=
[ "$master" = "$HOST $PORT" ] || role="replicaof $master"

tls="tls-cert-file $SERVER/tls.crt
tls-key-file $SERVER/tls.key
tls-ca-cert-file $SECRETS/ca.crt
tls-auth-clients no
tls-replication yes
protected-mode no
bind ${BIND:-*}
dir $DATA"

# The default account can be pinged by the probes and nothing else.
cat >users.acl <<END
user default on nopass resetchannels -@all +ping
user gateway on >$password ~tg:* resetchannels &tg:* +@read +@write +@scripting +@pubsub +@connection +@transaction +time -@dangerous +config|get +info
user replica on >$replication resetchannels -@all +psync +replconf +ping
user sentinel on >$replication allchannels -@all +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill
END

cat >redis.conf.new <<END
port 0
tls-port $PORT
$tls
aclfile $DATA/users.acl
masteruser replica
masterauth $replication
replica-announce-ip $HOST
replica-announce-port $PORT
appendonly yes
appendfsync everysec
save ""
maxmemory $MAXMEMORY
maxmemory-policy noeviction
# A master that the others have left takes no writes: they would be lost when it comes back.
min-replicas-to-write 1
min-replicas-max-lag 10
$role
END
mv redis.conf.new redis.conf

kept=
[ ! -f sentinel.conf ] || kept=$(grep -E '^sentinel (myid|current-epoch|config-epoch|leader-epoch|known-replica|known-sentinel) ' sentinel.conf |
  grep -v "^sentinel known-replica tidegate \"*${master% *}\"* ${master#* }\$" || true)
cat >sentinel.conf.new <<END
port 0
tls-port $SENTINEL_PORT
$tls
requirepass $sentinel
sentinel sentinel-pass $sentinel
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $HOST
sentinel announce-port $SENTINEL_PORT
sentinel monitor tidegate $master 2
sentinel auth-user tidegate sentinel
sentinel auth-pass tidegate $replication
sentinel down-after-milliseconds tidegate 5000
sentinel failover-timeout tidegate 30000
$kept
END
mv sentinel.conf.new sentinel.conf
