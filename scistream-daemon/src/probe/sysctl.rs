//! Kernel settings that cap throughput over long or fast paths, against what ESnet's fasterdata
//! advises for 10 Gb/s hosts.

use std::fs;

use super::report::{Check, Status};

/// What a setting should hold.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// Its last number (tcp_rmem has three) is at least this.
    AtLeast(u64),
    /// One of these words; the first is advised.
    OneOf(&'static [&'static str]),
}

/// A setting, and what is wanted of it.
const WANTED: [(&str, Wanted); 8] = [
    ("net.core.rmem_max", Wanted::AtLeast(67_108_864)),
    ("net.core.wmem_max", Wanted::AtLeast(67_108_864)),
    ("net.ipv4.tcp_rmem", Wanted::AtLeast(33_554_432)),
    ("net.ipv4.tcp_wmem", Wanted::AtLeast(33_554_432)),
    ("net.core.default_qdisc", Wanted::OneOf(&["fq"])),
    ("net.ipv4.tcp_no_metrics_save", Wanted::OneOf(&["1"])),
    ("net.ipv4.tcp_mtu_probing", Wanted::OneOf(&["1", "2"])),
    (
        "net.ipv4.tcp_congestion_control",
        Wanted::OneOf(&["cubic", "bbr", "htcp"]),
    ),
];

/// One check per setting.
pub(super) fn checks() -> Vec<Check> {
    WANTED
        .into_iter()
        .map(|(name, wanted)| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            check(name, wanted, fs::read_to_string(path).ok().as_deref())
        })
        .collect()
}

fn check(name: &'static str, wanted: Wanted, content: Option<&str>) -> Check {
    let Some(content) = content else {
        return Check::ok(name, "not visible here", wanted.in_words())
            .but(Status::Warn, "look in the host's own network namespace");
    };
    let found = content.split_whitespace().collect::<Vec<_>>().join(" ");
    let check = Check::ok(name, found.as_str(), wanted.in_words());
    if wanted.is_met(&found) {
        check
    } else {
        check.but(
            Status::Warn,
            format!("sysctl -w {name}={}", wanted.advice(&found)),
        )
    }
}

impl Wanted {
    fn is_met(self, found: &str) -> bool {
        match self {
            Self::AtLeast(least) => last_number(found).is_some_and(|number| number >= least),
            Self::OneOf(words) => words.contains(&found),
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::AtLeast(least) => format!("{least} or more"),
            Self::OneOf(words) => words.join(" or "),
        }
    }

    /// What to set, keeping the numbers before the last as they are.
    fn advice(self, found: &str) -> String {
        match self {
            Self::AtLeast(least) => match found.rsplit_once(' ') {
                Some((before, _last)) => format!("'{before} {least}'"),
                None => least.to_string(),
            },
            Self::OneOf(words) => words.first().copied().unwrap_or_default().to_owned(),
        }
    }
}

fn last_number(text: &str) -> Option<u64> {
    text.split(' ').next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_compared_by_its_last_number_or_its_word() {
        for (wanted, content, status, mend) in [
            (Wanted::AtLeast(100), "100\n", Status::Ok, ""),
            (
                Wanted::AtLeast(100),
                "99\n",
                Status::Warn,
                "sysctl -w net.x=100",
            ),
            (Wanted::AtLeast(100), "4096\t131072\t200\n", Status::Ok, ""),
            (
                Wanted::AtLeast(100),
                "4096\t131072\t50\n",
                Status::Warn,
                "sysctl -w net.x='4096 131072 100'",
            ),
            (
                Wanted::AtLeast(100),
                "words\n",
                Status::Warn,
                "sysctl -w net.x=100",
            ),
            (Wanted::OneOf(&["1", "2"]), "2\n", Status::Ok, ""),
            (
                Wanted::OneOf(&["fq"]),
                "pfifo_fast\n",
                Status::Warn,
                "sysctl -w net.x=fq",
            ),
        ] {
            let check = check("net.x", wanted, Some(content));
            assert_eq!(
                (check.status, check.mend.as_str()),
                (status, mend),
                "{content}"
            );
        }
    }

    #[test]
    fn a_setting_that_cannot_be_seen_is_a_warning() {
        assert_eq!(
            check("net.x", Wanted::AtLeast(1), None).status,
            Status::Warn
        );
    }
}
