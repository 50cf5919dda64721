# What ZooKeeper's server and shell load. One logger of the several that are packaged together.
classpath=
for jar in zookeeper zookeeper-jute slf4j-api slf4j-simple metrics-core snappy-java commons-io commons-cli netty-common \
  netty-buffer netty-transport netty-transport-native-epoll netty-transport-native-unix-common netty-handler \
  netty-codec netty-resolver; do
  classpath="$classpath:/usr/share/java/$jar.jar"
done
