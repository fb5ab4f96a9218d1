//! The table at the end.

use std::ops::Add;

use super::checked;

/// Bytes by how they were moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moved {
    pub(super) redirected: u64,
    pub(super) spliced: u64,
    pub(super) copied: u64,
}

/// One row of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Median; `None` when nothing was measured.
    pub(super) bits_per_second: Option<f64>,
    /// The fastest round over the slowest.
    pub(super) spread: Option<f64>,
    /// CPU of each gateway's process, 1 = one CPU.
    pub(super) gateway_cpu: Vec<f64>,
    /// CPU of the whole machine meanwhile, 0 to 1.
    pub(super) machine_cpu: Option<f64>,
    /// By all gateways together.
    pub(super) moved: Moved,
    /// Bytes that went from end to end, through however many gateways.
    pub(super) carried: u64,
    pub(super) connections: usize,
    /// Bytes, by the ledger.
    pub(super) lost: u64,
    /// Ledgers that the gateway itself found not to balance.
    pub(super) mismatches: usize,
    /// What the gateway cannot do here, and why.
    pub(super) declines: Vec<String>,
}

impl Moved {
    /// What was moved since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            redirected: self.redirected.saturating_sub(earlier.redirected),
            spliced: self.spliced.saturating_sub(earlier.spliced),
            copied: self.copied.saturating_sub(earlier.copied),
        }
    }

    /// The plane that moved most; `None` when nothing was moved.
    pub(super) fn leader(&self) -> Option<&'static str> {
        let (bytes, plane) = self.by_plane().into_iter().max()?;
        (bytes > 0).then_some(plane)
    }

    /// Bytes moved by any plane.
    pub(super) fn total(&self) -> u64 {
        self.redirected + self.spliced + self.copied
    }

    fn by_plane(&self) -> [(u64, &'static str); 3] {
        [
            (self.copied, "copy"),
            (self.spliced, "splice"),
            (self.redirected, "sockmap"),
        ]
    }
}

impl Add for Moved {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            redirected: self.redirected + other.redirected,
            spliced: self.spliced + other.spliced,
            copied: self.copied + other.copied,
        }
    }
}

/// From here on the machine has no CPU to spare.
const SATURATED: f64 = 0.9;

/// From here on the rounds of one path do not agree.
const DISTURBED: f64 = 1.5;

const HEADINGS: [&str; 7] = [
    "path",
    "Gb/s",
    "of no proxy",
    "in kernel",
    "s2cs CPU",
    "connections",
    "bytes lost",
];

/// The table, aligned: the first column to the left, figures to the right.
pub(super) fn table(rows: &[Row]) -> String {
    let baseline = rows.first().and_then(|row| row.bits_per_second);
    let cells: Vec<_> = rows.iter().map(|row| cells(row, baseline)).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut lines = vec![line(&HEADINGS.map(str::to_owned), &widths)];
    lines.push(line(&widths.map(|width| "-".repeat(width)), &widths));
    lines.extend(cells.iter().map(|cells| line(cells, &widths)));
    lines.join("\n")
}

/// What the table amounts to, and what it could not show.
pub(super) fn closing(rows: &[Row]) -> String {
    let gigabytes = rows.iter().map(|row| row.carried).sum::<u64>() as f64 / 1e9;
    let gateways = rows.iter().map(|row| row.gateway_cpu.len()).max();
    let through = match gateways {
        Some(2) => "both gateways",
        Some(_) | None => "the gateway",
    };
    let connections: usize = rows.iter().map(|row| row.connections).sum();
    let lost: u64 = rows.iter().map(|row| row.lost).sum();
    let checked = checked::BYTES >> 20;
    let mut lines = vec![
        format!(
            "  {gigabytes:.1} GB in {connections} connections went through {through}; {lost} bytes were lost."
        ),
        format!(
            "  That is by the ledger, and by comparing every byte of {checked} MiB on each plane."
        ),
    ];
    let busy = rows
        .iter()
        .filter_map(|row| row.machine_cpu)
        .min_by(f64::total_cmp);
    if let Some(busy) = busy.filter(|busy| *busy >= SATURATED) {
        let busy = busy * 100.0;
        lines.push(format!(
            "  The CPUs, shared by iperf3 and the gateway, were the limit: at least {busy:.0} % busy."
        ));
    }
    let spread = rows
        .iter()
        .filter_map(|row| row.spread)
        .max_by(f64::total_cmp);
    if let Some(spread) = spread.filter(|spread| *spread >= DISTURBED) {
        lines.push(format!(
            "  Rounds differ by a factor of {spread:.1}: something else is using this machine."
        ));
    }
    let declines = rows.iter().flat_map(|row| &row.declines);
    lines.extend(declines.map(|words| format!("  {}.", words.trim_end_matches('.'))));
    lines.join("\n")
}

fn cells(row: &Row, baseline: Option<f64>) -> [String; 7] {
    let dash = || "-".to_owned();
    let ratio = row
        .bits_per_second
        .zip(baseline)
        .map(|(rate, baseline)| rate / baseline);
    let relayed = !row.gateway_cpu.is_empty();
    let share = relayed.then(|| row.moved.redirected as f64 / (row.moved.total() as f64).max(1.0));
    [
        path_name(row.name, row.moved.leader()),
        row.bits_per_second
            .map_or_else(dash, |rate| format!("{:.1}", rate / 1e9)),
        ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
        share.map_or_else(dash, |share| percents(&[share])),
        percents(&row.gateway_cpu),
        if relayed {
            row.connections.to_string()
        } else {
            dash()
        },
        if relayed {
            row.lost.to_string()
        } else {
            dash()
        },
    ]
}

/// The path's name, with the plane that moves the bytes where the gateway has chosen it.
pub(super) fn path_name(path: &str, plane: Option<&str>) -> String {
    match plane {
        Some(plane) if path == "auto" => format!("{path}: {plane}"),
        Some(_) | None => path.to_owned(),
    }
}

/// Shares as percents, one for each gateway: `43+38 %`; `-` for none.
pub(super) fn percents(shares: &[f64]) -> String {
    if shares.is_empty() {
        return "-".to_owned();
    }
    let percents = shares.iter().map(|share| format!("{:.0}", share * 100.0));
    format!("{} %", percents.collect::<Vec<_>>().join("+"))
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let [name, figures @ ..] = cells;
    let [first, others @ ..] = widths;
    let figures = figures
        .iter()
        .zip(others)
        .map(|(cell, width)| format!("  {cell:>width$}"));
    format!("  {name:<first$}{}", figures.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name, gigabits: f64, moved: Option<Moved>| Row {
            name,
            bits_per_second: Some(gigabits * 1e9),
            gateway_cpu: moved.map_or_else(Vec::new, |_| vec![0.07, 0.12]),
            machine_cpu: Some(0.97),
            moved: moved.unwrap_or_default(),
            carried: moved.map_or(0, |moved| moved.total()),
            connections: if moved.is_some() { 6 } else { 0 },
            ..Row::default()
        };
        let redirected = Moved {
            redirected: 99_000_000_000,
            spliced: 0,
            copied: 1_000_000_000,
        };
        vec![
            row("no proxy", 27.4, None),
            Row {
                name: "sockmap",
                declines: vec!["sockmap: no root".to_owned()],
                ..Row::default()
            },
            row("auto", 21.9, Some(redirected)),
        ]
    }

    #[test]
    fn the_table_is_aligned_and_fits_a_terminal() {
        let table = table(&rows());
        let expected =
            "\x20 path           Gb/s  of no proxy  in kernel  s2cs CPU  connections  bytes lost
  -------------  ----  -----------  ---------  --------  -----------  ----------
  no proxy       27.4         1.00          -         -            -           -
  sockmap           -            -          -         -            -           -
  auto: sockmap  21.9         0.80       99 %    7+12 %            6           0";
        assert_eq!(table, expected);
        assert!(table.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn rounds_that_do_not_agree_are_named() {
        let mut rows = rows();
        rows[2].spread = Some(1.2);
        assert!(!closing(&rows).contains("something else"));
        rows[0].spread = Some(2.3);
        assert!(closing(&rows).contains("a factor of 2.3"));
    }

    #[test]
    fn the_closing_says_what_was_lost_and_what_declined() {
        let closing = closing(&rows());
        assert!(closing.contains("100.0 GB in 6 connections"), "{closing}");
        assert!(closing.contains("0 bytes were lost"), "{closing}");
        assert!(closing.contains("97 % busy"), "{closing}");
        assert!(closing.contains("sockmap: no root."), "{closing}");
    }
}
