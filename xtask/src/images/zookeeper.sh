#!/bin/sh
# Writes zoo.cfg from the environment, under the names that the official image uses, and becomes the server.
set -eu
config=/conf/zoo.cfg
echo "${ZOO_MY_ID:-1}" > /data/myid
{
  echo "dataDir=/data"
  echo "clientPort=2181"
  echo "tickTime=${ZOO_TICK_TIME:-2000}"
  echo "initLimit=${ZOO_INIT_LIMIT:-5}"
  echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
  echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
  echo "standaloneEnabled=${ZOO_STANDALONE_ENABLED:-true}"
  echo "admin.enableServer=${ZOO_ADMINSERVER_ENABLED:-false}"
  echo "4lw.commands.whitelist=${ZOO_4LW_COMMANDS_WHITELIST:-srvr}"
  for line in ${ZOO_SERVERS:-} ${ZOO_CFG_EXTRA:-}; do echo "$line"; done
} > "$config"
. /usr/share/zookeeper.classpath
exec java -Xmx256m -Dzookeeper.extendedTypesEnabled=true ${JVMFLAGS:-} -cp "$classpath" \
  org.apache.zookeeper.server.quorum.QuorumPeerMain "$config"
