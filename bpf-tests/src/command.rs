//! Short commands (`ip`, `tc`, `ethtool`), run to their end, with errors that carry the command
//! line and what it wrote to stderr.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs `command` to its end and gives its standard output.
///
/// # Errors
/// When it cannot be started, or ends with anything but success: the error has the command line
/// and the command's own words.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// As [`run`], with `input` on standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let output = feed(command, input)
        .with_context(|| format!("cannot run `{}`; is it installed?", line(command)))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let words = stderr.trim();
        bail!("`{}` failed ({}): {words}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Where `program` is on PATH or in the folders that root's PATH has, if anywhere.
pub fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let root = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(root)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The program `name` that cargo built in `profile` (`debug`, `release`) in the folder that this
/// program was built in, too.
///
/// # Errors
/// When this program cannot tell where it is.
pub fn find_built(name: &str, profile: &str) -> Result<Option<std::path::PathBuf>> {
    let running = std::env::current_exe().context("cannot tell where this program is")?;
    let candidates = running.ancestors().skip(1);
    let mut candidates = candidates.map(|folder| folder.join(profile).join(name));
    Ok(candidates.find(|candidate| candidate.is_file()))
}

fn feed(command: &mut Command, input: &str) -> std::io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_command_line_and_its_words() {
        let mut command = Command::new("ls");
        command.arg("/no/such/folder");
        let error = run(&mut command).unwrap_err().to_string();
        assert!(error.contains("`ls /no/such/folder` failed"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }
}
