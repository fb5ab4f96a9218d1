//! Sessions, connections and events as lines for people.

use super::{microseconds, plane, role, state};
use crate::user::failure::printable;
use crate::wire::gateway::{Connection, Direction, Event, Session, Socket};

const HEADINGS: [&str; 7] = ["uid", "role", "state", "connections", "in", "out", "label"];

/// One line for each session, under headings.
pub(super) fn table(sessions: &[Session]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(sessions.iter().map(row));
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(|column| {
        let width = |row: &[String; HEADINGS.len()]| row[column].chars().count();
        rows.iter().map(width).max().unwrap_or_default()
    });
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(session: &Session) -> [String; HEADINGS.len()] {
    [
        printable(&session.uid),
        role(session.role()).to_owned(),
        state(session.state()).to_owned(),
        session.connections_open.to_string(),
        rate(session.rate_to_upstream_bps),
        rate(session.rate_to_downstream_bps),
        printable(&session.label),
    ]
}

/// One session in full.
pub(super) fn session(session: &Session, connections: &[Connection]) -> String {
    let time = |time: &Option<prost_types::Timestamp>| {
        time.map_or_else(|| "-".to_owned(), |time| time.to_string())
    };
    let fields = [
        ("uid", printable(&session.uid)),
        ("role", role(session.role()).to_owned()),
        ("state", state(session.state()).to_owned()),
        ("status", printable(&session.status)),
        ("label", printable(&session.label)),
        ("owner", printable(&session.owner)),
        ("listeners", printable(&session.listeners.join(", "))),
        ("targets", printable(&session.targets.join(", "))),
        ("sources", printable(&session.sources.join(", "))),
        ("reserved", rate(session.reserved_rate_bps)),
        ("at most", rate(session.max_rate_bps)),
        ("created", time(&session.created)),
        ("expires", time(&session.expires)),
        (
            "connections",
            format!(
                "{} open, {} so far",
                session.connections_open, session.connections_total
            ),
        ),
        (
            "bytes",
            format!(
                "{} to targets, {} back",
                session.bytes_to_upstream, session.bytes_to_downstream
            ),
        ),
    ];
    let mut text: String = fields
        .iter()
        .map(|(name, value)| format!("{name:<11}  {value}\n"))
        .collect();
    text.extend(connections.iter().map(connection));
    text.trim_end().to_owned()
}

fn connection(connection: &Connection) -> String {
    let Connection {
        id,
        listener,
        downstream,
        upstream,
        opened: _,
        to_upstream,
        to_downstream,
        downstream_socket,
        upstream_socket,
    } = connection;
    let path = printable(&format!("{downstream} -> {listener} -> {upstream}"));
    format!(
        "\nconnection {id}  {path}\n  to target   {}\n  back        {}\n  sockets     {}; {}\n",
        direction(to_upstream.as_ref()),
        direction(to_downstream.as_ref()),
        socket(downstream_socket.as_ref()),
        socket(upstream_socket.as_ref()),
    )
}

fn direction(direction: Option<&Direction>) -> String {
    direction.map_or_else(
        || "-".to_owned(),
        |it| {
            let pace = match it.pace_bps {
                0 => String::new(),
                pace => format!(", held to {}", rate(pace)),
            };
            format!(
                "{} bytes, {} by {}{pace}",
                it.bytes,
                rate(it.rate_bps),
                plane(it.plane())
            )
        },
    )
}

fn socket(socket: Option<&Socket>) -> String {
    socket.map_or_else(
        || "-".to_owned(),
        |it| {
            let rtt = it.rtt.map_or_else(
                || "no round trip yet".to_owned(),
                |rtt| format!("round trip {} us", microseconds(rtt)),
            );
            format!("{rtt}, {} retransmits", it.retransmits)
        },
    )
}

/// One line for an event.
pub(super) fn event(event: &Event) -> String {
    let time = event
        .time
        .map_or_else(|| "-".to_owned(), |time| time.to_string());
    let uid = printable(&event.uid);
    let code = printable(&event.code);
    let message = printable(&event.message);
    format!("{time}  {uid}  {}  {code}  {message}", state(event.state()))
}

/// Bits per second with a unit; `-` for none.
fn rate(bits: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "Tb/s"),
        (1_000_000_000, "Gb/s"),
        (1_000_000, "Mb/s"),
        (1_000, "kb/s"),
    ];
    if bits == 0 {
        return "-".to_owned();
    }
    let Some((unit, name)) = UNITS.iter().find(|(unit, _)| bits >= *unit) else {
        return format!("{bits} b/s");
    };
    format!("{}.{} {name}", bits / unit, bits % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gateway::{Role, State};

    #[test]
    fn rates_have_their_unit() {
        assert_eq!(rate(0), "-");
        assert_eq!(rate(999), "999 b/s");
        assert_eq!(rate(1_550_000_000), "1.5 Gb/s");
    }

    #[test]
    fn a_session_is_one_line_under_its_headings() {
        let session = Session {
            uid: "one\u{1b}[2J".to_owned(),
            role: Role::Producer.into(),
            state: State::AwaitingHello.into(),
            connections_open: 3,
            label: "run 7".to_owned(),
            ..Session::default()
        };
        let table = table(&[session]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("uid"), "{table}");
        assert_eq!(lines.len(), 2, "{table}");
        assert!(lines[1].contains("producer  awaiting hello  3"), "{table}");
        assert!(
            lines[1].ends_with("run 7") && !table.contains('\u{1b}'),
            "{table}"
        );
    }
}
