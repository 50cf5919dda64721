//! A plain look at the way to a server, to tell people why none could be reached: the client library keeps that to itself.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use registry_api::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{TlsFiles, refusal};

/// How long a server may take to say that it wants nothing of a client. One that says nothing is content.
const OBJECTS_WITHIN: Duration = Duration::from_millis(500);
/// A question that every server answers, one that may not with a refusal. Servers that speak TLS end the connection: as
/// long as the head of a record of TLS, it is enough for them to judge.
const PLAIN_QUESTION: &[u8] = b"srvr\r\n";

/// How to look.
#[derive(Debug)]
pub(crate) struct Look {
    tls: Option<Arc<ClientConfig>>,
}

impl Look {
    pub(crate) fn new(files: Option<&TlsFiles>) -> Result<Self> {
        Ok(Self { tls: files.map(|files| config(files).map(Arc::new)).transpose()? })
    }

    /// What is wrong with the way to this server, `host:port`, in one line; `None` where nothing is seen.
    pub(crate) async fn at(&self, server: &str) -> Option<String> {
        let found = match TcpStream::connect(server).await {
            Err(error) => Some(error.to_string()),
            Ok(stream) => match &self.tls {
                None => plain(stream).await,
                Some(config) => {
                    let host = server.rsplit_once(':').map_or(server, |(host, _port)| host);
                    secured(stream, Arc::clone(config), host).await
                }
            },
        };
        found.map(|what| format!("{server}: {what}"))
    }
}

async fn plain(mut stream: TcpStream) -> Option<String> {
    stream.write_all(PLAIN_QUESTION).await.ok()?;
    let read = tokio::time::timeout(OBJECTS_WITHIN, stream.read(&mut [0])).await.ok()?;
    match read {
        Ok(1..) => None,
        _ => Some("it ends connections without TLS: is this its port for TLS? Then set tls".to_owned()),
    }
}

async fn secured(stream: TcpStream, config: Arc<ClientConfig>, host: &str) -> Option<String> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = match ServerName::try_from(host) {
        Ok(name) => name,
        Err(error) => return Some(error.to_string()),
    };
    let dialled = tokio::time::timeout(OBJECTS_WITHIN, TlsConnector::from(config).connect(name, stream)).await;
    match dialled {
        Ok(Ok(mut stream)) => {
            // What a server has against a client it may say after the client believes that all is well.
            let read = tokio::time::timeout(OBJECTS_WITHIN, stream.read(&mut [0])).await.ok()?;
            let alert = read.err()?;
            Some(format!("it does not accept this client's certificate, or the lack of one: {alert}"))
        }
        Ok(Err(error)) if error.to_string().contains("certificate") => Some(error.to_string()),
        Ok(Err(error)) => Some(format!("no TLS is spoken there, it seems: {error}")),
        Err(_silence) => Some("it does not answer as one with TLS does: is this its port for TLS?".to_owned()),
    }
}

fn config(files: &TlsFiles) -> Result<ClientConfig> {
    let refused = |error: &dyn Display| refusal(format!("tls: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&files.ca).map_err(|error| refused(&error))? {
        roots.add(certificate.map_err(|error| refused(&error))?).map_err(|error| refused(&error))?;
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| refused(&error))?.with_root_certificates(roots);
    let Some((cert, key)) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| refused(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(&error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| refused(&error))
}
