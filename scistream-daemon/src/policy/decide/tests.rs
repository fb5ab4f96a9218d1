//! What the rules grant, by tables.

use super::*;
use crate::policy::Who;

fn rule(name: &str, who: &str, permissions: &[Permission]) -> Rule {
    Rule {
        name: name.to_owned(),
        who: vec![who.parse().unwrap()],
        permissions: permissions.to_vec(),
        targets: Vec::new(),
        sources: Vec::new(),
        maxima: Maxima::default(),
    }
}

fn asked(permission: Permission) -> Asked {
    Asked {
        permission,
        listeners: 1,
        rate_bps: 0,
        lifetime: None,
        sources: Vec::new(),
        targets: Vec::new(),
    }
}

fn address(text: &str, port: u16) -> AskedTarget {
    AskedTarget {
        name: None,
        addresses: vec![text.parse().unwrap()],
        port,
    }
}

fn name(name: &str, addresses: &[&str], port: u16) -> AskedTarget {
    AskedTarget {
        name: Some(name.to_owned()),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        port,
    }
}

#[test]
fn without_rules_everyone_who_is_known_may_have_sessions_and_nobody_is_admin() {
    let policy = Policy::default();
    let caller = Subject::named("token:alice");
    assert!(
        policy
            .decide(&caller, &asked(Permission::Producer))
            .outcome
            .is_ok()
    );
    assert!(!policy.permits(&caller, Permission::Admin));
    assert!(!policy.permits(&caller, Permission::Application));
}

#[test]
fn with_rules_whatever_none_grants_is_denied() {
    let policy = Policy {
        rules: vec![
            rule(
                "staff",
                "group:staff",
                &[Permission::Producer, Permission::Admin],
            ),
            rule("guests", "domain:example.org", &[Permission::Consumer]),
        ],
    };
    let mut staff = Subject::named("token:alice");
    staff.groups.push("staff".to_owned());
    let mut guest = Subject::named("oidc:7");
    guest.add_username("bob@Example.org");
    let stranger = Subject::named("oidc:8");
    let denied = |permission| Err(Denial::Permission(permission));
    for (caller, permission, outcome) in [
        (&staff, Permission::Producer, Ok(Some("staff"))),
        (&staff, Permission::Consumer, denied(Permission::Consumer)),
        (&guest, Permission::Consumer, Ok(Some("guests"))),
        (&guest, Permission::Producer, denied(Permission::Producer)),
        (&stranger, Permission::Producer, Err(Denial::NotForCaller)),
    ] {
        let decision = policy.decide(caller, &asked(permission));
        let got = decision.outcome.map(|grant| grant.rule);
        assert_eq!(
            got,
            outcome.map(|rule| rule.map(str::to_owned)),
            "{caller:?} {permission:?}"
        );
    }
    assert!(policy.permits(&staff, Permission::Admin));
    assert!(!policy.permits(&guest, Permission::Admin));
}

#[test]
fn targets_pass_by_name_or_by_all_their_addresses() {
    let mut lab = rule("lab", "any", &[Permission::Producer]);
    lab.targets = ["10.0.0.0/8:5000-6000", "*.lab.example:*"]
        .map(|text| text.parse().unwrap())
        .into();
    let policy = Policy { rules: vec![lab] };
    for (target, pass) in [
        (address("10.0.0.1", 5000), Some(Pass::ByAddress)),
        (address("10.0.0.1", 4999), None),
        (address("192.0.2.1", 5000), None),
        (address("::ffff:10.0.0.1", 5000), Some(Pass::ByAddress)),
        (
            name("daq.lab.example", &["192.0.2.1"], 1),
            Some(Pass::ByName),
        ),
        (
            name("daq.other.example", &["10.0.0.1"], 5000),
            Some(Pass::ByAddress),
        ),
        (
            name("daq.other.example", &["10.0.0.1", "192.0.2.1"], 5000),
            None,
        ),
        (name("daq.other.example", &[], 5000), None),
    ] {
        let mut asked = asked(Permission::Producer);
        asked.targets.push(target.clone());
        let decision = policy.decide(&Subject::anonymous(), &asked);
        let got = decision.outcome.map(|grant| grant.passes);
        let expected = pass.map(|pass| vec![pass]).ok_or(Denial::Target(target));
        assert_eq!(got, expected);
    }
}

#[test]
fn what_is_beyond_a_maximum_is_denied_and_said() {
    let mut small = rule("small", "any", &[Permission::Producer]);
    small.maxima = Maxima {
        sessions: Some(1),
        listeners: Some(5),
        connections: Some(9),
        rate_bps: Some(80_000_000),
        lifetime: Some(Duration::from_secs(3600)),
    };
    let policy = Policy {
        rules: vec![small.clone()],
    };
    let decide = |change: &dyn Fn(&mut Asked)| {
        let mut asked = asked(Permission::Producer);
        change(&mut asked);
        policy.decide(&Subject::anonymous(), &asked).outcome
    };
    let most = decide(&|asked| {
        asked.listeners = 5;
        asked.rate_bps = 80_000_000;
        asked.lifetime = Some(Duration::from_secs(3600));
    });
    assert_eq!(most.unwrap().maxima, small.maxima);
    assert_eq!(
        decide(&|asked| asked.listeners = 6),
        Err(Denial::Listeners { asked: 6, most: 5 })
    );
    let rate = decide(&|asked| asked.rate_bps = 80_000_001).unwrap_err();
    assert_eq!(
        rate.to_string(),
        "it allows at most 80000000 bit/s for a session, not 80000001"
    );
    let long = Duration::from_secs(3601);
    assert!(matches!(
        decide(&|asked| asked.lifetime = Some(long)),
        Err(Denial::Lifetime { .. })
    ));
}

#[test]
fn a_session_narrows_its_sources_and_never_widens_them() {
    let nets = |texts: &[&str]| -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    for (allowed, wanted, outcome) in [
        (nets(&[]), nets(&[]), Ok(nets(&[]))),
        (nets(&["10.0.0.0/8"]), nets(&[]), Ok(nets(&["10.0.0.0/8"]))),
        (
            nets(&[]),
            nets(&["10.1.0.0/16"]),
            Ok(nets(&["10.1.0.0/16"])),
        ),
        (
            nets(&["10.0.0.0/8"]),
            nets(&["10.1.0.0/16"]),
            Ok(nets(&["10.1.0.0/16"])),
        ),
        (nets(&["10.1.0.0/16"]), nets(&["10.0.0.0/8"]), Err(())),
        (
            nets(&["10.0.0.0/8"]),
            nets(&["10.1.0.0/16", "::/0"]),
            Err(()),
        ),
    ] {
        let mut rule = rule("r", "any", &[Permission::Consumer]);
        rule.sources = allowed;
        let mut asked = asked(Permission::Consumer);
        asked.sources = wanted;
        let decision = Policy { rules: vec![rule] }.decide(&Subject::anonymous(), &asked);
        assert_eq!(
            decision
                .outcome
                .map(|grant| grant.sources)
                .map_err(|_denial| ()),
            outcome
        );
    }
}

#[test]
fn a_later_rule_grants_what_an_earlier_one_does_not() {
    let mut narrow = rule("narrow", "any", &[Permission::Producer]);
    narrow.maxima.listeners = Some(1);
    let wide = rule("wide", "token:alice", &[Permission::Producer]);
    let policy = Policy {
        rules: vec![narrow, wide],
    };
    let mut asked = asked(Permission::Producer);
    asked.listeners = 2;
    let decision = policy.decide(&Subject::named("token:alice"), &asked);
    assert_eq!(decision.outcome.unwrap().rule.as_deref(), Some("wide"));
    assert_eq!(decision.considered.len(), 1);
    let denied = policy.decide(&Subject::named("token:bob"), &asked);
    assert_eq!(denied.outcome, Err(Denial::Listeners { asked: 2, most: 1 }));
}

#[test]
fn an_example_caller_is_matched_by_what_it_was_made_from() {
    for text in ["any", "domain:example.org", "group:staff", "token:alice"] {
        let who: Who = text.parse().unwrap();
        assert!(who.matches(&who.example()), "{text}");
    }
}
