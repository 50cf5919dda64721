//! The address of one member.

/// An endpoint: `http://host:port` or `https://host:port`; without a scheme it is http.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    uri: tonic::transport::Uri,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let example = "an endpoint looks like \"http://etcd-1:2379\"";
        let uri: tonic::transport::Uri =
            full.parse().map_err(|error| format!("endpoint {text:?}: {error}; {example}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            other => return Err(format!("endpoint {text:?}: {other:?} is neither http nor https; {example}")),
        }
        if uri.host().is_none_or(str::is_empty) || uri.port_u16().is_none() {
            return Err(format!("endpoint {text:?} has no host or no port; {example}"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("endpoint {text:?} has something behind the port; {example}"));
        }
        Ok(Self { uri })
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    pub(crate) fn uri(&self) -> &tonic::transport::Uri {
        &self.uri
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.uri.authority().map(tonic::codegen::http::uri::Authority::as_str);
        formatter.write_str(authority.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_a_host_and_a_port() {
        assert_eq!(Address::parse("etcd-1:2379").unwrap().to_string(), "etcd-1:2379");
        assert!(Address::parse("https://[::1]:2379").unwrap().is_secure());
        for wrong in ["", "etcd-1", "http://:2379", "unix:///x", "http://a:1/path", "http://a:1?q", "http://a:99999"] {
            assert!(Address::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
