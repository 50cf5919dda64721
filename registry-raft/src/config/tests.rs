//! The line that a user sees for each mistake in the settings.

use figment::Figment;
use figment::providers::{Format, Toml};

use super::*;

fn read(toml: &str) -> Result<RaftSettings> {
    RaftSettings::read(&Figment::from(Toml::string(toml)))
}

const THREE: &str = r#"members = ["1@a:7001", "2@b:7001", "3@c:7001"]"#;

#[test]
fn nothing_configured_is_one_durable_member_on_loopback() {
    let settings = read("").unwrap();
    assert_eq!(settings, RaftSettings::default());
    assert_eq!(settings.data_dir(), PathBuf::from("data/registry-1"));
    assert_eq!(settings.advertised(), "127.0.0.1:7001");
    assert_eq!(settings.targets(), [Target { id: 1, address: "127.0.0.1:7001".to_owned() }]);
}

#[test]
fn a_member_of_three_is_dialled_where_the_list_says() {
    let settings = read(&format!("node = 2\nlisten = \"127.0.0.1:7002\"\n{THREE}")).unwrap();
    assert_eq!(settings.advertised(), "b:7001");
    assert_eq!(settings.data_dir(), PathBuf::from("data/registry-2"));
}

#[test]
fn members_may_be_one_text_with_commas() {
    let settings = read("role = \"client\"\nmembers = \"1@a:1, 2@b:2\"").unwrap();
    assert_eq!(settings.members, [MemberAddress::new(1, "a:1"), MemberAddress::new(2, "b:2")]);
}

#[test]
fn a_client_ignores_what_is_about_members() {
    let settings = read(&format!("role = \"client\"\nnode = 9\nlisten = \"0.0.0.0:1\"\n{THREE}")).unwrap();
    assert_eq!(settings.role, Role::Client);
}

#[test]
fn each_mistake_gives_its_line() {
    let cases = [
        ("data_dri = \"x\"", "unknown key \"data_dri\" in [registry.raft]"),
        ("role = \"observer\"", "role in [registry.raft]"),
        ("request_timeout = 5", "a duration needs a unit: write \"5s\" or \"5ms\""),
        ("request_timeout = \"1ms\"", "request_timeout = \"1ms\" is out of range: \"10ms\" to \"10m\" are allowed"),
        ("node = 0", "node = 0 is not allowed; ids begin with 1"),
        ("listen = \"7001\"", "listen: \"7001\" is not an address; write \"host:port\", such as \"127.0.0.1:7001\""),
        (
            "listen = \"0.0.0.0:7001\"",
            "listen = \"0.0.0.0:7001\" reaches beyond this machine, and connections are not encrypted yet: set insecure = \
             true to accept that, or listen on 127.0.0.1",
        ),
        (
            "listen = \"0.0.0.0:7001\"\ninsecure = true",
            "others cannot dial \"0.0.0.0:7001\": set advertise to an address or name of this machine (listen = \
             \"0.0.0.0:7001\" is where it serves)",
        ),
        ("members = []", "members is empty"),
        ("members = [\"a:7001\"]", "members: \"a:7001\" is not a member; write \"id@host:port\""),
        (
            "members = [\"1@a:1\", \"1@b:1\"]",
            "members: \"1@a:1\" and \"1@b:1\" have the same id; each member has its own",
        ),
        (
            "members = [\"1@a:1\", \"2@a:1\"]",
            "members: \"1@a:1\" and \"2@a:1\" have the same address; each member has its own",
        ),
        ("node = 4\nmembers = [\"1@a:1\", \"2@b:1\"]", "node = 4 is not among members = [\"1@a:1\", \"2@b:1\"]"),
        (
            "node = 1\nadvertise = \"x:1\"\nmembers = [\"1@a:1\", \"2@b:1\"]",
            "advertise = \"x:1\" contradicts members, where this member is \"1@a:1\"; make them equal, or leave advertise \
             out",
        ),
        (
            "session_ttl = \"1s\"",
            "session_ttl = \"1s\" is too short for timing = \"lan\": replacing a silent leader takes up to \"2s\", and \
             sessions must outlive it",
        ),
        ("compact_after_bytes = 1", "compact_after_bytes = 1 is too little: 1048576 or more"),
        ("cluster = \"\"", "cluster = \"\": a name of 1 to 255 bytes is needed"),
    ];
    for (toml, expected) in cases {
        let line = match read(toml) {
            Err(error) => error.to_string(),
            Ok(settings) => panic!("{toml} was accepted: {settings:?}"),
        };
        assert!(line.contains(expected), "{toml}\n  says    {line}\n  instead {expected}");
        assert!(!line.contains('\n'), "one line: {line}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let line = read("data_dri = \"x\"").unwrap_err().to_string();
    assert!(line.contains("did you mean \"data_dir\"?"), "{line}");
}
