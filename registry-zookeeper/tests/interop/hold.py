"""Holds a lock by kazoo's recipe, told of Curator's names, from the node /entered until the node /leave."""
import sys

from kazoo.client import KazooClient

client = KazooClient(hosts=sys.argv[1], timeout=30)
client.start(timeout=60)
try:
    with client.Lock(sys.argv[2], "kazoo", extra_lock_patterns=["-lock-"]):
        client.create("/entered", b"kazoo")
        left = client.handler.event_object()

        @client.DataWatch("/leave")
        def look(data, stat):
            if stat is not None:
                left.set()

        if not left.wait(60):
            sys.exit("nobody said that the lock may be left")
finally:
    client.stop()
