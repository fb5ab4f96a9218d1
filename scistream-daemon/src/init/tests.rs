//! What `s2cs init` leaves in its folder, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = format!("s2cs-init-{}", fresh_token().unwrap());
        Self(std::env::temp_dir().join(name))
    }

    fn init(&self, force: bool, names: &[&str]) -> Result<(), InitError> {
        init(&InitArgs {
            dir: Some(self.0.clone()),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            port: 5000,
            force,
            json: true,
        })
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn all(&self) -> Vec<String> {
        FILES.iter().map(|name| self.text(name)).collect()
    }

    fn mode(&self, name: &str) -> u32 {
        let path = self.0.join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn secrets_are_their_owners_alone_and_the_gateway_keeps_a_digest() {
    let place = Place::new();
    place
        .init(false, &["gateway.example.org", "192.0.2.7"])
        .unwrap();
    assert_eq!(place.mode(""), 0o700);
    for name in FILES {
        let expected = if name.ends_with(".crt") { 0o644 } else { 0o600 };
        assert_eq!(place.mode(name), expected, "{name}");
    }
    let token = place.text("token");
    let tokens = place.text("tokens");
    assert!(!tokens.contains(token.trim()));
    let expected = hex(digest(&SHA256, token.trim().as_bytes()).as_ref());
    assert_eq!(tokens, format!("owner {expected}\n"));
}

#[test]
fn run_again_it_changes_nothing() {
    let place = Place::new();
    place.init(false, &["gateway.example.org"]).unwrap();
    let before = place.all();
    place
        .init(false, &["gateway.example.org", "127.0.0.1"])
        .unwrap();
    assert_eq!(place.all(), before);
}

#[test]
fn it_overwrites_only_when_told_so() {
    let place = Place::new();
    place.init(false, &[]).unwrap();
    let before = place.all();
    let failure = place
        .init(false, &["other.example.org"])
        .unwrap_err()
        .to_string();
    assert!(
        failure.contains("other.example.org") && failure.contains("--force"),
        "{failure}"
    );
    fs::remove_file(place.0.join("server.key")).unwrap();
    let failure = place.init(false, &[]).unwrap_err().to_string();
    assert!(failure.contains("but not server.key"), "{failure}");
    assert_eq!(place.text("token"), before[4]);

    place.init(true, &["other.example.org"]).unwrap();
    for (before, after) in before.iter().zip(place.all()).take(6) {
        assert_ne!(*before, after);
    }
    certificates::check(
        &place.0.join("server.crt"),
        &["other.example.org".to_owned()],
    )
    .unwrap();
}

#[test]
fn the_certificate_holds_what_this_host_is_reached_by() {
    let place = Place::new();
    place.init(false, &[]).unwrap();
    let host = rustix::system::uname();
    let names = [
        host.nodename().to_str().unwrap(),
        "localhost",
        "127.0.0.1",
        "::1",
    ];
    let names = names.map(str::to_owned);
    certificates::check(&place.0.join("server.crt"), &names).unwrap();
}

#[test]
fn a_name_that_is_none_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let failure = place.init(false, &["gätewäy"]).unwrap_err().to_string();
    assert!(failure.contains("cannot make certificates"), "{failure}");
    assert!(FILES.iter().all(|name| !place.0.join(name).exists()));
}
