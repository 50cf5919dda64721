//! Settings: what is read, and what is refused with which words.

use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Toml};

use super::{Access, Scheme, Secret, ZooKeeperSettings};

fn read(text: &str) -> Result<ZooKeeperSettings, String> {
    ZooKeeperSettings::read(&Figment::from(Toml::string(text))).map_err(|error| error.to_string())
}

#[test]
fn servers_are_all_that_is_needed() {
    let settings = read("connect = \"a,b:1\"").unwrap();
    assert_eq!(settings, ZooKeeperSettings::at("a:2181,b:1").unwrap());
    assert_eq!(settings.lock_root.as_str(), "/locks");
    assert_eq!(read("connect = [\"a\", \"b:1\"]").unwrap(), settings);
}

#[test]
fn everything_can_be_set() {
    let text = r#"
        connect = "a"
        connect_timeout = "3s"
        request_timeout = "2s"
        session_ttl = "30s"
        lock_root = "/curator/locks"
        acl = "creator"
        tls = { ca = "ca.pem", cert = "me.pem", key = "me.key" }
        auth = { scheme = "sasl", user = "me", password = "wonderful" }
    "#;
    let settings = read(text).unwrap();
    assert_eq!(settings.connect_timeout, Duration::from_secs(3));
    assert_eq!(settings.request_timeout, Duration::from_secs(2));
    assert_eq!(settings.lock_root.as_str(), "/curator/locks");
    assert_eq!(settings.access, Access::Creator);
    assert!(settings.tls.as_ref().unwrap().identity.is_some());
    let credentials = settings.credentials.as_ref().unwrap();
    assert_eq!((credentials.scheme, credentials.password.clone()), (Scheme::Sasl, Secret::new("wonderful")));
    assert!(!format!("{settings:?}").contains("wonderful"), "a password is printed: {settings:?}");
}

#[test]
fn what_cannot_be_right_is_refused_with_what_would_be() {
    let refused = [
        ("", "connect"),
        ("connect = \"\"", "names no server"),
        ("connect = \"a\"\nconect_timeout = \"1s\"", "did you mean \"connect_timeout\"?"),
        ("connect = \"a\"\nrequest_timeout = \"0s\"", "out of range"),
        ("connect = \"a\"\nsession_ttl = \"1h\"", "out of range"),
        ("connect = \"a\"\nlock_root = \"locks\"", "must begin with '/'"),
        ("connect = \"a\"\nacl = \"creator\"", "needs auth"),
        ("connect = \"a\"\ntls = { cert = \"c\" }", "needs ca"),
        ("connect = \"a\"\ntls = { ca = \"c\", key = \"k\" }", "key without cert"),
        ("connect = \"a\"\nauth = { scheme = \"digest\", user = \"u\" }", "password or password_file"),
        ("connect = \"a\"\nauth = { scheme = \"digest\", user = \"u:v\", password = \"p\" }", "no colon"),
        ("connect = \"a\"\nauth = { scheme = \"sasl\", user = \"u\", password_file = \"/none\" }", "cannot read"),
    ];
    for (text, words) in refused {
        let error = read(text).unwrap_err();
        assert!(error.contains(words), "{text:?} is refused with {error:?}");
    }
}
