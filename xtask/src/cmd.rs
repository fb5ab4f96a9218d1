//! Running other programs, with errors that name the whole command.

use std::env;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Result, anyhow, bail};

use crate::workspace;

/// The cargo that runs us, started in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command
}

/// Runs a command with its output on the terminal, after printing it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", line(command));
    let status = command
        .status()
        .map_err(|error| not_started(command, error))?;
    if !status.success() {
        bail!(
            "`{}` ended with {status}; its own message is above",
            line(command)
        );
    }
    Ok(())
}

/// Runs a command quietly and returns what it wrote to stdout; the error carries its last words.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let Ran { status, answer } = ran(command)?;
    answer.map_err(|last_words| anyhow!("`{}` ended with {status}: {last_words}", line(command)))
}

/// Runs a command quietly; when it fails, the error is `meaning` and its last words, for commands
/// whose arguments say nothing to a reader.
pub(crate) fn output_or(meaning: &str, command: &mut Command) -> Result<String> {
    ran(command)?
        .answer
        .map_err(|last_words| anyhow!("{meaning} ({last_words})"))
}

/// Runs a command silently and tells how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    ran(command).map(|ran| ran.status)
}

/// The program's path, looked for where root's shell would look too: a user's `PATH` on Debian
/// lacks the sbin folders that `ip` and `haproxy` live in.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    let words: Vec<_> = std::iter::once(name).chain(arguments).collect();
    words.join(" ")
}

/// How a quiet command ended, with its output or, if it failed, its last words.
struct Ran {
    status: ExitStatus,
    answer: Result<String, String>,
}

fn ran(command: &mut Command) -> Result<Ran> {
    let ended = command.stdin(Stdio::null()).output();
    let Output {
        status,
        stdout,
        stderr,
    } = ended.map_err(|error| not_started(command, error))?;
    let answer = if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        Err(last_words(&stderr))
    };
    Ok(Ran { status, answer })
}

fn not_started(command: &Command, error: std::io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy();
    if error.kind() == ErrorKind::NotFound {
        return anyhow!("{program} is not installed, wanted for `{}`", line(command));
    }
    anyhow!(error).context(format!("`{}` could not be started", line(command)))
}

/// The line in which a failed program says why, or else its last one.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let accusation = text.lines().find_map(|line| {
        ["E: ", "error: "]
            .iter()
            .find_map(|it| line.strip_prefix(it))
    });
    accusation
        .or(text.lines().last())
        .unwrap_or("it said nothing")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no-such-program-here is not installed"),
            "{error}"
        );
    }

    #[test]
    fn a_failed_command_is_reported_with_what_it_accused() {
        let script = "echo noise >&2; echo 'E: no route to host' >&2; echo tail >&2; exit 7";
        let error = output(Command::new("sh").args(["-c", script]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(
            error.ends_with("exit status: 7: no route to host"),
            "{error}"
        );
    }

    #[test]
    fn a_meaning_stands_for_a_command_nobody_wants_to_read() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'last line' >&2; exit 1"]);
        let error = output_or("the lists cannot be read", &mut command).unwrap_err();
        assert_eq!(error.to_string(), "the lists cannot be read (last line)");
    }

    #[test]
    fn programs_are_found_outside_a_users_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-here"), None);
    }
}
