//! A plain look at the way to a member, to tell people why nobody serves: what breaks a connection while it is made or
//! right after, a certificate most of all, gets lost in the layers above.

use std::sync::Arc;
use std::time::Duration;

use registry_api::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Address;
use crate::config::{Tls, refusal};

/// How long a member may take to say that it wants nothing of a client. One that says nothing is content.
const OBJECTS_WITHIN: Duration = Duration::from_millis(500);
/// What every member answers. One that speaks TLS ends the connection.
const PLAIN_QUESTION: &[u8] = b"GET /version HTTP/1.0\r\n\r\n";

/// How to look.
#[derive(Debug)]
pub(super) struct Look {
    tls: Option<(Arc<ClientConfig>, Option<String>)>,
}

impl Look {
    pub(super) fn new(tls: Option<&Tls>) -> Result<Self> {
        let tls = match tls {
            None => None,
            Some(tls) => Some((Arc::new(config(tls)?), tls.domain.clone())),
        };
        Ok(Self { tls })
    }

    /// What is wrong with the way to this member, in one line; `None` where nothing is seen.
    pub(super) async fn at(&self, address: &Address) -> Option<String> {
        let found = match TcpStream::connect(address.to_string()).await {
            Err(error) => Some(error.to_string()),
            Ok(stream) => match &self.tls {
                None => plain(stream).await,
                Some((config, domain)) => {
                    let host = domain.as_deref().or(address.uri().host()).unwrap_or_default();
                    secured(stream, Arc::clone(config), host).await
                }
            },
        };
        found.map(|what| format!("{address}: {what}"))
    }
}

async fn plain(mut stream: TcpStream) -> Option<String> {
    stream.write_all(PLAIN_QUESTION).await.ok()?;
    let read = tokio::time::timeout(OBJECTS_WITHIN, stream.read(&mut [0])).await.ok()?;
    match read {
        Ok(1..) => None,
        _ => Some("the member ends connections without TLS: write https:// and name tls.ca".to_owned()),
    }
}

async fn secured(stream: TcpStream, config: Arc<ClientConfig>, host: &str) -> Option<String> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = match ServerName::try_from(host) {
        Ok(name) => name,
        Err(error) => return Some(error.to_string()),
    };
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => objection(stream).await,
        Err(error) if error.to_string().contains("certificate") => Some(error.to_string()),
        Err(error) => Some(format!("the member speaks no TLS, it seems ({error}): then write http://, without tls")),
    }
}

/// What the member has against this client, which it may say after the client believes that all is well.
async fn objection(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    let read = tokio::time::timeout(OBJECTS_WITHIN, stream.read(&mut [0])).await.ok()?;
    let alert = read.err()?.to_string();
    Some(format!("the member does not accept this client's certificate, or the lack of one: {alert}"))
}

fn config(tls: &Tls) -> Result<ClientConfig> {
    let refused = |error: &dyn std::fmt::Display| refusal(format!("tls: {error}"));
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.ca {
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))? {
            roots.add(certificate.map_err(|error| refused(&error))?).map_err(|error| refused(&error))?;
        }
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| refused(&error))?.with_root_certificates(roots);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let chain = chain.map_err(|error| refused(&error))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| refused(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
