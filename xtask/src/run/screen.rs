//! The line that a person watches: one that updates on a terminal, one per measurement elsewhere.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use bpf_tests::cleanup;

use super::cpu::CpuUse;
use super::summary::{path_name, percents};

/// Cells of the bar.
const BAR: usize = 10;
/// A command's line goes on below before an option that begins behind this column.
const COMMAND_COLUMNS: usize = 60;
/// Back to the first column, and clear the line.
const REWRITE: &str = "\r\x1b[K";

/// Standard output, as what it is.
pub(super) struct Screen {
    terminal: bool,
    rounds: u32,
    /// The highest rate seen: the full bar.
    best: Cell<f64>,
    /// Whether the cursor stands behind a line that moves.
    live: Cell<bool>,
}

/// What goes on at this moment.
pub(super) struct Live {
    pub(super) round: u32,
    pub(super) path: &'static str,
    /// The plane that moves the bytes, where the gateway chooses.
    pub(super) plane: Option<&'static str>,
    pub(super) bits_per_second: f64,
    pub(super) cpu: CpuUse,
}

impl Screen {
    /// Takes standard output; a signal then leaves it on a line of its own.
    pub(super) fn new(rounds: u32) -> Result<Self> {
        let terminal = io::stdout().is_terminal();
        cleanup::on_ending_signal(move || {
            let start = if terminal { REWRITE } else { "" };
            println!("{start}  stopped: no process, no namespace and no file is left behind");
        })?;
        Ok(Self {
            terminal,
            rounds,
            best: Cell::new(0.0),
            live: Cell::new(false),
        })
    }

    /// Prints a paragraph.
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Prints a command that was run, as one step of several, and what it came to.
    pub(super) fn step(&self, number: u32, command: &str, outcome: &str) {
        self.end_live();
        let command = continued(command);
        let outcome = outcome.replace('\n', "\n     ");
        println!("  {number}  $ {command}\n     {outcome}\n");
    }

    /// Prints one step that is no command.
    pub(super) fn tell(&self, number: u32, words: &str) {
        self.end_live();
        println!("  {number}  {words}\n");
    }

    /// Shows what goes on, on a terminal.
    pub(super) fn show(&self, live: &Live) {
        if self.terminal {
            self.best.set(self.best.get().max(live.bits_per_second));
            self.rewrite(&self.live_line(live));
        }
    }

    /// Says what goes on where there is nothing to watch.
    pub(super) fn announce(&self, words: &str) {
        if self.terminal {
            self.rewrite(&format!("  {words}"));
        }
    }

    /// Notes what a measurement came to, where nobody watched it.
    pub(super) fn note(&self, round: u32, path: &str, bits_per_second: f64) {
        if !self.terminal {
            self.live.set(true);
            let rate = bits_per_second / 1e9;
            println!(
                "  round {round}/{}  {path:<8}  {rate:6.2} Gb/s",
                self.rounds
            );
        }
    }

    /// Ends the live line, or the list of measurements.
    pub(super) fn end_live(&self) {
        if !self.live.replace(false) {
            return;
        }
        if self.terminal {
            print!("{REWRITE}");
            flush();
        } else {
            println!();
        }
    }

    fn rewrite(&self, line: &str) {
        self.live.set(true);
        print!("{REWRITE}{line}");
        flush();
    }

    fn live_line(&self, live: &Live) -> String {
        let Live {
            round,
            path,
            plane,
            bits_per_second,
            cpu,
        } = live;
        let path = path_name(path, *plane);
        let filled = (bits_per_second / self.best.get().max(1.0) * BAR as f64).round() as usize;
        let bar = format!("{:.<BAR$}", "#".repeat(filled.min(BAR)));
        let rate = bits_per_second / 1e9;
        let gateways = percents(&cpu.processes);
        let machine = cpu.machine * 100.0;
        format!(
            "  {round}/{} {path:<14} {rate:5.1} Gb/s [{bar}] CPU: s2cs {gateways:>7}, machine {machine:3.0} %",
            self.rounds
        )
    }
}

/// A command over as many lines as it needs, as a shell takes it.
fn continued(command: &str) -> String {
    let mut lines = vec![String::new()];
    for word in command.split(' ') {
        let used = lines.last().map_or(0, String::len);
        if used > 0 && used + word.len() > COMMAND_COLUMNS && word.starts_with("--") {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            let separator = if line.is_empty() { "" } else { " " };
            line.push_str(separator);
            line.push_str(word);
        }
    }
    lines.join(" \\\n         ")
}

fn flush() {
    // A terminal that is gone cannot be told so.
    drop(io::stdout().flush());
}

impl Drop for Screen {
    /// What is printed next, an error say, begins at the first column.
    fn drop(&mut self) {
        self.end_live();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_goes_on_below_before_an_option() {
        let command = format!("s2uc connect --producer {} --ca x", "1".repeat(60));
        let expected = command.replace(" --ca", " \\\n         --ca");
        assert_eq!(continued(&command), expected);
        assert_eq!(continued("s2uc list"), "s2uc list");
    }

    #[test]
    fn the_live_line_fits_a_terminal_of_eighty_columns() {
        let screen = Screen {
            terminal: true,
            rounds: 3,
            best: Cell::new(27e9),
            live: Cell::new(false),
        };
        let cpu = CpuUse {
            processes: vec![1.97, 1.03],
            machine: 1.0,
        };
        let live = Live {
            round: 3,
            path: "auto",
            plane: Some("sockmap"),
            bits_per_second: 127.4e9,
            cpu,
        };
        let line = screen.live_line(&live);
        assert!(line.len() < 80, "{} columns: {line}", line.len());
        assert!(
            line.contains("auto: sockmap") && line.contains("127.4 Gb/s"),
            "{line}"
        );
    }
}
