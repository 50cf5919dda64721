//! The list of servers.

use registry_api::Result;

use super::refusal;

const PORT_DEFAULT: u16 = 2181;

/// Reads `"host-1:2181,host-2"`.
pub(super) fn parse(text: &str) -> Result<Vec<String>> {
    let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(refusal("connect names no server; list them all: \"host-1:2181,host-2:2181\""));
    }
    parts.into_iter().map(endpoint).collect()
}

fn endpoint(text: &str) -> Result<String> {
    if text.contains('/') {
        return Err(refusal(format!(
            "connect: {text:?} is not host:port; for a part of the tree set namespace in [registry]"
        )));
    }
    let (host, port) = match text.rsplit_once(':') {
        // An address of IPv6 has colons of its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse::<u16>().ok()),
        _ => (text, Some(PORT_DEFAULT)),
    };
    match port {
        Some(port) if port != 0 && !host.is_empty() => Ok(format!("{host}:{port}")),
        _ => Err(refusal(format!("connect: {text:?} is not host:port, such as \"host-1:2181\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_left_out() {
        let expected = ["a:2181", "b:99", "[::1]:2181", "[::1]:7"];
        assert_eq!(parse("a, b:99 ,[::1],[::1]:7").unwrap(), expected);
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for text in ["", " , ", ":2181", "a:0", "a:port", "a:2181/chroot", "tcp://a:1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
