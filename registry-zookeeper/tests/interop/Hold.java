import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;

/** Holds a lock by Curator's recipe, from the node /entered until the node /leave. */
public class Hold {
    public static void main(String[] arguments) throws Exception {
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(100))) {
            client.start();
            InterProcessMutex mutex = new InterProcessMutex(client, arguments[1]);
            if (!mutex.acquire(60, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the lock was not given");
            }
            client.create().forPath("/entered", "curator".getBytes());
            CountDownLatch left = new CountDownLatch(1);
            if (client.checkExists().usingWatcher((org.apache.zookeeper.Watcher) event -> left.countDown()).forPath("/leave") == null
                    && !left.await(60, TimeUnit.SECONDS)) {
                throw new IllegalStateException("nobody said that the lock may be left");
            }
            mutex.release();
        }
    }
}
