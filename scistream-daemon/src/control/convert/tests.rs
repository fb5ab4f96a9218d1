//! Every field with what may come in it.

use super::*;

fn request(uid: &str, role: &str, num_conn: i32, rate: i32) -> old::Request {
    old::Request {
        uid: uid.to_owned(),
        role: role.to_owned(),
        num_conn,
        rate,
    }
}

const UID: &str = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3";

fn field<T>(result: Result<T, SessionError>) -> &'static str {
    match result {
        Err(SessionError::BadField { field, .. }) => field,
        Err(error) => panic!("{error}"),
        Ok(_) => "none",
    }
}

#[test]
fn a_req_is_taken_as_old_programs_send_it() {
    let session = req(request(UID, "PROD", 5, 10_000)).unwrap();
    assert_eq!(session.id.unwrap().as_str(), UID);
    assert_eq!(session.role, Role::Producer);
    assert_eq!(session.listeners, 5);
    assert_eq!(session.rate, Some(Rate::from_bits(80_000_000)));
    assert_eq!(session.reserved, None);
    assert_eq!(session.greeting, Greeting::Awaited(None));
    assert_eq!(req(request(UID, "CONS", 1, 0)).unwrap().rate, None);
}

#[test]
fn each_bad_field_of_a_req_is_named() {
    let huge = "x".repeat(1_000_000);
    for (uid, role, num_conn, rate, named) in [
        ("", "PROD", 1, 0, "uid"),
        (huge.as_str(), "PROD", 1, 0, "uid"),
        ("../../etc/passwd", "PROD", 1, 0, "uid"),
        ("a\0b", "PROD", 1, 0, "uid"),
        ("a\nb", "PROD", 1, 0, "uid"),
        ("\u{202e}a", "PROD", 1, 0, "uid"),
        (UID, "", 1, 0, "role"),
        (UID, "prod", 1, 0, "role"),
        (UID, huge.as_str(), 1, 0, "role"),
        (UID, "PROD", 0, 0, "num_conn"),
        (UID, "PROD", -1, 0, "num_conn"),
        (UID, "PROD", i32::MIN, 0, "num_conn"),
        (UID, "PROD", 1, -1, "rate"),
        (UID, "PROD", 1, i32::MIN, "rate"),
        // How many ports there are is the registry's to know.
        (UID, "PROD", 1_000_000_000, i32::MAX, "none"),
    ] {
        assert_eq!(field(req(request(uid, role, num_conn, rate))), named);
    }
}

#[test]
fn a_refusal_shows_little_of_a_huge_value() {
    let error = req(request(&"x".repeat(1_000_000), "PROD", 1, 0)).unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn lists_of_targets_are_bounded_and_each_is_looked_at() {
    let of = |targets: Vec<String>| old::UpdateTargets {
        uid: UID.to_owned(),
        remote_listeners: targets,
        role: "PROD".to_owned(),
    };
    let many = |count: usize| vec!["10.0.0.1:5201".to_owned(); count];
    assert_eq!(update(&of(many(TARGETS_MAX))).unwrap().1.len(), TARGETS_MAX);
    for bad in [
        many(0),
        many(TARGETS_MAX + 1),
        many(100_000),
        vec![String::new()],
        vec!["10.0.0.1".to_owned()],
        vec!["10.0.0.1:0".to_owned()],
        vec!["10.0.0.1:65536".to_owned()],
        vec!["0.0.0.0:5201".to_owned()],
        vec!["host:5201\n".to_owned()],
        vec!["10.0.0.1:5201".to_owned(), "x".repeat(1_000_000)],
    ] {
        assert_eq!(field(update(&of(bad))), "remote_listeners");
    }
    let unnamed = old::UpdateTargets {
        role: String::new(),
        ..of(many(1))
    };
    assert!(update(&unnamed).is_ok());
    let strange = old::UpdateTargets {
        role: "BOTH".to_owned(),
        ..of(many(1))
    };
    assert_eq!(field(update(&strange)), "role");
}

#[test]
fn a_hello_of_a_producer_says_where_and_others_do_not() {
    let of = |role: &str, listeners: &[&str]| old::Hello {
        uid: UID.to_owned(),
        prod_listeners: listeners.iter().map(|&text| text.to_owned()).collect(),
        role: role.to_owned(),
    };
    assert_eq!(
        hello(&of("PROD", &["10.0.0.1:1", "host:2"]))
            .unwrap()
            .1
            .targets
            .len(),
        2
    );
    assert_eq!(hello(&of("PROD", &[])).unwrap().1.role, Role::Producer);
    assert_eq!(
        hello(&of("CONS", &["10.0.0.1:1"])).unwrap().1.targets.len(),
        0
    );
    assert_eq!(hello(&of("", &[])).unwrap().1.role, Role::Consumer);
    assert_eq!(field(hello(&of("PROD", &["nowhere"]))), "prod_listeners");
}

#[test]
fn each_bad_field_of_a_create_is_named() {
    let good = own::CreateSessionRequest {
        role: own::Role::Producer.into(),
        ..own::CreateSessionRequest::default()
    };
    let with = |change: &dyn Fn(&mut own::CreateSessionRequest)| {
        let mut message = good.clone();
        change(&mut message);
        field(create(message))
    };
    let time = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    assert_eq!(with(&|_| ()), "none");
    assert_eq!(with(&|message| message.role = 0), "role");
    assert_eq!(with(&|message| message.role = -7), "role");
    assert_eq!(with(&|message| message.uid = "a/b".to_owned()), "uid");
    assert_eq!(
        with(&|message| message.label = "a\u{7}".to_owned()),
        "label"
    );
    assert_eq!(
        with(&|message| message.idempotency_key = " ".to_owned()),
        "idempotency_key"
    );
    assert_eq!(
        with(&|message| message.reserved_rate_bps = 7),
        "reserved_rate_bps"
    );
    assert_eq!(with(&|message| message.max_rate_bps = 1), "max_rate_bps");
    assert_eq!(with(&|message| message.max_rate_bps = u64::MAX), "none");
    assert_eq!(with(&|message| message.lifetime = time(-1, 0)), "lifetime");
    assert_eq!(
        with(&|message| message.lifetime = time(i64::MAX, 0)),
        "lifetime"
    );
    assert_eq!(
        with(&|message| message.idle_timeout = time(0, -1)),
        "idle_timeout"
    );
    assert_eq!(
        with(&|message| message.idle_timeout = time(0, i32::MAX)),
        "idle_timeout"
    );
    assert_eq!(
        with(&|message| message.sources = vec!["10.0.0.0/33".to_owned()]),
        "sources"
    );
    assert_eq!(
        with(&|message| message.sources = vec!["::/0".to_owned(); 1_025]),
        "sources"
    );
    assert_eq!(
        with(&|message| message.targets = vec![String::new()]),
        "targets"
    );
}

#[test]
fn callers_are_told_what_leads_to_a_listener() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let plain = Told::default();
    let mapped = Told {
        host: Some("gw.example.org".parse().unwrap()),
        ports: vec!["5100-5110=30510-30520".parse().unwrap()],
    };
    for (told, bound, arrived, text) in [
        (
            &plain,
            "10.0.0.1:5100",
            Some("10.0.0.9:5000"),
            "10.0.0.1:5100",
        ),
        (
            &plain,
            "0.0.0.0:5100",
            Some("10.0.0.9:5000"),
            "10.0.0.9:5100",
        ),
        (
            &plain,
            "[::]:5100",
            Some("[::ffff:10.0.0.9]:5000"),
            "10.0.0.9:5100",
        ),
        (
            &plain,
            "[::]:5100",
            Some("[2001:db8::9]:5000"),
            "[2001:db8::9]:5100",
        ),
        (
            &mapped,
            "0.0.0.0:5103",
            Some("10.0.0.9:5000"),
            "gw.example.org:30513",
        ),
        (&mapped, "0.0.0.0:5111", None, "gw.example.org:5111"),
    ] {
        assert_eq!(told.listener(at(bound), arrived.map(at)), text);
    }
}
