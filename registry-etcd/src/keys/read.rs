//! Reading one key.

use etcd_client::GetOptions;
use registry_api::{Key, Lookup, ReadLevel};

use super::range::bytes;
use super::{entry, revision};
use crate::connect::Request;
use crate::error::Failure;
use crate::registry::Core;

impl Core {
    pub(crate) async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup, Failure> {
        self.lock_root.check(key)?;
        if read == ReadLevel::Stale {
            let stale = self.get_once(key, GetOptions::new().with_serializable()).await?;
            // A member may be behind what this client has seen: then it is asked for more.
            if stale.revision >= revision(self.connection.seen()) {
                return Ok(stale);
            }
        }
        self.get_once(key, GetOptions::new()).await
    }

    async fn get_once(&self, key: &Key, options: GetOptions) -> Result<Lookup, Failure> {
        let send = |link: std::sync::Arc<crate::connect::Link>| {
            let (key, options) = (bytes(key).to_vec(), options.clone());
            async move { link.kv().get(key, Some(options)).await }
        };
        let answer = self.connection.call(Request::Read, self.connection.deadline(), send).await?;
        let at = answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        self.connection.saw(at);
        Ok(Lookup { entry: answer.kvs().first().and_then(entry), revision: revision(at) })
    }
}
