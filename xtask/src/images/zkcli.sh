#!/bin/sh
# ZooKeeper's own shell.
. /usr/share/zookeeper.classpath
exec java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
  -cp "$classpath" org.apache.zookeeper.ZooKeeperMain "$@"
