//! The emulated machine: its command line, and one run of it.
//!
//! Always emulated, never accelerated: where there is `/dev/kvm`, it may be there without being of
//! use, and a run that is fast on one host and fails on another proves less. `-erms,-fsrm` makes
//! the kernel copy by words, which is four times faster emulated than `rep movsb`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bpf_tests::process::Process;
use bpf_tests::sys;

use super::fetch::{Emulator, Kernel};

/// How often a machine that says nothing is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long the results may take to be written once the machine is off.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// One machine, not yet running.
pub(super) struct Machine<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) kernel: &'a Kernel,
    /// Its initial file system.
    pub(super) files: &'a Path,
    pub(super) cpus: usize,
}

impl Machine<'_> {
    /// Runs it to its end, each line of its console to `line`; what the guest hands out goes to
    /// the file `results`.
    ///
    /// Errors when it is not off at the deadline, or the emulator failed; with the last lines.
    pub(super) fn run(
        &self,
        results: &Path,
        deadline: Duration,
        mut line: impl FnMut(&str),
    ) -> Result<()> {
        let mut command = self.command();
        command.args([
            "-serial",
            "stdio",
            "-device",
            "virtio-serial-pci",
            "-device",
        ]);
        command.arg("virtserialport,chardev=results,name=results");
        command.arg("-chardev");
        command.arg(format!("file,id=results,path={}", results.display()));
        let mut process = Process::spawn(command)?;
        let end = Instant::now() + deadline;
        let mut read = 0;
        loop {
            let ended = process.ends_within(LOOK_INTERVAL)?;
            // Waited for so that its last lines have been read, too.
            let outcome = ended.then(|| process.wait_for_success(END_PATIENCE));
            let (lines, next) = process.output().lines_from(read);
            read = next;
            lines.iter().for_each(|text| line(text.trim_end()));
            if let Some(outcome) = outcome {
                return outcome.context("the emulator failed");
            }
            if Instant::now() >= end {
                let tail = process.output().tail();
                bail!("it was not done after {deadline:?}; its last lines:\n{tail}");
            }
        }
    }

    /// Runs it on this terminal, for a person.
    pub(super) fn run_on_terminal(&self) -> Result<()> {
        let mut command = self.command();
        // Through the monitor the terminal is raw: Ctrl-C reaches the guest, Ctrl-A X ends it.
        command.args(["-serial", "mon:stdio"]);
        sys::die_with_spawner(&mut command);
        let status = command.status().context("the emulator cannot be started")?;
        if !status.success() {
            bail!("the emulator ended with {status}; its own message is above");
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let Self {
            emulator,
            kernel,
            files,
            cpus,
        } = self;
        let mut command = Command::new(&emulator.program);
        if let Some(root) = &emulator.root {
            from_folder(&mut command, root);
        }
        command
            .args(["-accel", "tcg,thread=multi", "-M", "q35"])
            .args(["-cpu", "max,-erms,-fsrm", "-m", "2G", "-smp"])
            .arg(cpus.to_string())
            .args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(files)
            .args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off"]);
        command
    }
}

/// Lets an emulator that was only unpacked find what it would have in `/usr`.
fn from_folder(command: &mut Command, root: &Path) {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let folders = [libraries.clone(), root.join("lib/x86_64-linux-gnu")];
    let folders: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
    command.env("LD_LIBRARY_PATH", folders.join(":"));
    command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
    for firmware in ["usr/share/qemu", "usr/share/seabios"] {
        let folder: PathBuf = root.join(firmware);
        command.arg("-L").arg(folder);
    }
}
