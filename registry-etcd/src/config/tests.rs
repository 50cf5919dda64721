//! What the section may say, and how mistakes are told.

use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;

fn read(text: &str) -> Result<EtcdSettings> {
    EtcdSettings::read(&Figment::from(Toml::string(text)))
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn endpoints_alone_are_enough() {
    let settings = read("endpoints = [\"http://etcd-1:2379\", \"etcd-2:2379\"]").unwrap();
    assert_eq!(settings.endpoints, ["http://etcd-1:2379", "etcd-2:2379"]);
    assert_eq!(settings.lock_root.as_str(), "/locks");
    assert_eq!(settings.request_timeout, Duration::from_secs(5));
}

#[test]
fn mistakes_are_named() {
    assert!(refused("endpoint = [\"http://a:1\"]").contains("did you mean \"endpoints\"?"));
    assert!(refused("endpoints = []").contains("at least one member"));
    assert!(refused("endpoints = [\"ftp://a:1\"]").contains("ftp"));
    assert!(refused("endpoints = [\"http://a:x\"]").contains("http://a:x"));
    assert!(refused("endpoints = [\"a:1\"]\nconnect_timeout = \"1ms\"").contains("out of range"));
    assert!(refused("endpoints = [\"a:1\"]\nconnect_timeout = 3").contains("unit"));
    assert!(refused("endpoints = [\"a:1\"]\nlock_root = \"locks\"").contains("lock_root"));
}

#[test]
fn what_contradicts_is_refused() {
    assert!(refused("endpoints = [\"http://a:1\", \"https://b:1\"]\ntls.ca = \"ca\"").contains("mix"));
    assert!(refused("endpoints = [\"https://a:1\"]").contains("tls.ca"));
    assert!(refused("endpoints = [\"http://a:1\"]\ntls.ca = \"ca\"").contains("https://"));
    assert!(refused("endpoints = [\"https://a:1\"]\ntls = { ca = \"ca\", cert = \"c\" }").contains("tls.key"));
    assert!(refused("endpoints = [\"a:1\"]\npassword = \"p\"").contains("user"));
    assert!(refused("endpoints = [\"a:1\"]\nuser = \"u\"").contains("password_file"));
    assert!(refused("endpoints = [\"a:1\"]\nuser=\"u\"\npassword=\"p\"\npassword_file=\"f\"").contains("exclude"));
}

#[test]
fn secrets_are_not_printed() {
    let settings = read("endpoints = [\"a:1\"]\nuser = \"u\"\npassword = \"hush-hush\"").unwrap();
    assert_eq!(settings.user.as_ref().map(|user| user.password.as_str()), Some("hush-hush"));
    assert!(!format!("{settings:?}").contains("hush-hush"));
}
