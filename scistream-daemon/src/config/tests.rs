//! Files, variables and flags, good and bad.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::policy::Permission;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    Settings::from_toml(Path::new("s2cs.toml"), text)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_defaults_and_the_defaults_are_upstreams() {
    let settings = parse("").unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.control.listener_ip.to_string(), "0.0.0.0");
    assert_eq!(settings.control.port, 5000);
    assert_eq!(settings.sessions.port_range.to_string(), "5100-5200");
    assert_eq!(settings.sessions.hello_timeout.0, Duration::from_secs(180));
    assert_eq!(settings.sessions.rate, RateMeaning::Reserve);
    assert!(settings.control.ssl);
    assert!(!settings.asks_callers());
    assert_eq!(
        (settings.sessions.state, settings.metrics.listen),
        (None, None)
    );
}

#[test]
fn the_example_file_is_the_defaults_and_holds_every_setting() {
    let text = default_file();
    assert_eq!(parse(&text).unwrap(), Settings::default(), "{text}");
    // With every example in force it is a file that parses.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            Some(_) | None => line,
        })
        .filter(|line| !line.starts_with("client_secret ="))
        .flat_map(|line| [line, "\n"])
        .collect();
    let settings = parse(&all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert_eq!(settings.rules.len(), 1);
    assert!(settings.auth.introspection.is_some() && settings.auth.jwt.is_some());
    assert!(settings.sessions.capacity.is_some());
    assert!(settings.sessions.state.is_some() && settings.metrics.listen.is_some());
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_what_was_meant() {
    let message = refusal("[control]\nport = 1\nlistner_ip = \"::1\"\n");
    assert_eq!(
        message,
        "s2cs.toml line 3: there is no setting `control.listner_ip`; is `listener_ip` meant?"
    );
    let message = refusal("[control]\n\n[sesions]\n[auth.tokens]\nfile = \"x\"\nmode = 3\n");
    assert_eq!(
        message,
        "s2cs.toml line 6: there is no setting `auth.tokens.mode`; `s2cs config default` shows all\n\
         s2cs.toml line 3: there is no setting `sesions`; is `sessions` meant?"
    );
    let message = refusal("[[rules]]\nwho = [\"any\"]\nroles = [\"admin\"]\nmax_session = 3\n");
    assert_eq!(
        message,
        "s2cs.toml line 4: there is no setting `rules.max_session`; is `max_sessions` meant?"
    );
}

#[test]
fn a_value_that_is_none_is_refused_with_its_line() {
    for (text, line, problem) in [
        ("[control]\nport = 70000\n", 2, "65535"),
        ("[control]\nport = \"x\"\n", 2, "invalid type"),
        (
            "[sessions]\nhello_timeout = \"soon\"\n",
            2,
            "expected a time with its unit",
        ),
        (
            "[sessions]\nrate = \"limit\"\n",
            2,
            "unknown variant `limit`",
        ),
        ("[control]\nadvertise = \"0.0.0.0\"\n", 2, "without a port"),
        (
            "[[rules]]\nwho = [\"alice\"]\nroles = []\n",
            2,
            "expected any, identity:NAME",
        ),
        (
            "[[rules]]\nwho = [\"any\"]\nroles = []\ntargets = [\"10.0.0.0/33:1\"]\n",
            4,
            "expected an address",
        ),
        (
            "[auth.introspection]\nissuer = \"http://auth.globus.org\"\n",
            2,
            "https://",
        ),
        ("[control\n", 1, ""),
        ("a = 1\na = 2\n", 2, "duplicate"),
    ] {
        let message = refusal(text);
        assert!(
            message.starts_with(&format!("s2cs.toml line {line}: ")),
            "{text}: {message}"
        );
        assert!(message.contains(problem), "{text}: {message}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (text, setting) in [
        ("[control]\nport = 5150\n", "sessions.port_range"),
        ("[metrics]\nlisten = \"127.0.0.1:5150\"\n", "metrics.listen"),
        (
            "[control]\nssl = false\n[auth.certificates]\nca = \"ca\"\n",
            "auth.certificates",
        ),
        ("[auth.introspection]\n", "auth.introspection"),
        (
            "[auth.introspection]\nclient_secret = \"s\"\ncache = \"31s\"\n",
            "auth.introspection",
        ),
        (
            "[auth.introspection]\nclient_secret = \"s\"\nclient_secret_file = \"f\"\n",
            "auth.introspection",
        ),
    ] {
        assert!(
            refusal(text).starts_with(setting),
            "{text}: {}",
            refusal(text)
        );
    }
    assert!(
        parse("[auth.introspection]\nclient_secret = \"s\"\n")
            .unwrap()
            .asks_callers()
    );
}

#[test]
fn a_flag_stands_over_a_variable_over_the_file_over_the_default() {
    let layered = |file: &str, variables: &[(&str, &str)], flag: Option<i64>| {
        let mut layers = Layers::new();
        layers.add_file(Path::new("s2cs.toml"), file).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        layers.add_variables(variables).unwrap();
        if let Some(port) = flag {
            let value = toml::Value::Integer(port);
            layers
                .add_flag(Override {
                    setting: "control.port",
                    value,
                    flag: "--port",
                })
                .unwrap();
        }
        layers.into_settings().unwrap()
    };
    let variables = [
        ("S2CS_CONTROL_PORT", "3"),
        ("S2CS_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
    ];
    assert_eq!(layered("", &[], None).control.port, 5000);
    assert_eq!(layered("[control]\nport = 2", &[], None).control.port, 2);
    assert_eq!(
        layered("[control]\nport = 2", &variables, None)
            .control
            .port,
        3
    );
    assert_eq!(
        layered("[control]\nport = 2", &variables, Some(4))
            .control
            .port,
        4
    );
    let settings = layered(
        "",
        &[
            ("S2CS_CONTROL_SSL", "False"),
            (
                "S2CS_CONTROL_PORT_MAP",
                "5100-5101=30100-30101, 5102-5102=7-7",
            ),
            ("S2CS_AUTH_CLIENT_ID", "7"),
            ("S2CS_AUTH_TOKENS_FILE", "/run/tokens"),
            ("S2CS_SESSIONS_CAPACITY", "10G"),
        ],
        None,
    );
    assert!(!settings.control.ssl);
    assert_eq!(settings.control.port_map.len(), 2);
    assert_eq!(settings.auth.client_id, "7");
    assert_eq!(settings.auth.tokens.unwrap().file, Path::new("/run/tokens"));
    assert_eq!(settings.sessions.capacity, Some(BitRate(10_000_000_000)));
}

#[test]
fn a_bad_variable_or_flag_is_named() {
    let mut layers = Layers::new();
    let error = layers
        .add_variables([("S2CS_CONTROL_PORT".to_owned(), "many".to_owned())])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("S2CS_CONTROL_PORT holds `many`: "),
        "{error}"
    );
    let value = toml::Value::String("9-1".to_owned());
    let error = layers
        .add_flag(Override {
            setting: "sessions.port_range",
            value,
            flag: "--port_range",
        })
        .unwrap_err();
    assert!(
        error.to_string().starts_with("--port_range holds `9-1`: "),
        "{error}"
    );
}

#[test]
fn rules_become_the_policy_with_a_name_each() {
    let settings = parse(
        "[[rules]]\nwho = [\"any\"]\nroles = [\"producer\"]\nmax_rate = \"1G\"\nmax_lifetime = \"2h\"\n\
         [[rules]]\nname = \"staff\"\nwho = [\"group:staff\"]\nroles = [\"admin\"]\n",
    )
    .unwrap();
    let policy = settings.policy();
    assert_eq!(policy.rules[0].name, "rule 1");
    assert_eq!(policy.rules[0].maxima.rate_bps, Some(1_000_000_000));
    assert_eq!(
        policy.rules[0].maxima.lifetime,
        Some(Duration::from_secs(7_200))
    );
    assert_eq!(policy.rules[1].name, "staff");
    assert!(policy.rules[1].permits(Permission::Admin));
}

#[test]
fn a_secret_is_not_shown() {
    let settings = parse("[auth.introspection]\nclient_secret = \"hush\"\n").unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}
