//! Fetching, by apt itself, from a small archive in a folder.

use std::process::Stdio;

use super::*;
use crate::workspace;

const SERIES: Series = Series::V6_1;

/// Names the folder to [`a_full_disk_is_told_and_nothing_stays_on_it`] where it runs on a small disk.
const FOLDER: &str = "SCISTREAM_TEST_FOLDER";

/// Bytes of an image: more than the small disk of these tests has.
const IMAGE_BYTES: usize = 4 << 20;

/// An archive, apt's lists of it, and a store; all gone with this value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = format!("scistream-vm-fetch-{name}-{}", std::process::id());
        let place = Self(std::env::temp_dir().join(folder));
        make(&place.archive()).unwrap();
        make(&place.store()).unwrap();
        place
    }

    fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn apt(&self) -> Result<Apt> {
        let source = format!("deb [trusted=yes] copy:{} ./", self.archive().display());
        Apt::of_source(self.0.join("apt"), &source)
    }

    fn fetch(&self) -> Result<Kernel> {
        kernel_from(&Store::open(self.store())?, SERIES, || self.apt())
    }

    /// Has the archive offer this kernel and nothing else.
    fn offer(&self, release: &str) {
        let archive = self.archive();
        remove(&archive).unwrap();
        let name = format!("linux-image-{release}-cloud-amd64-unsigned");
        let tree = self.0.join("tree");
        remove(&tree).unwrap();
        let control = format!(
            "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: x\n"
        );
        make(&tree.join("DEBIAN")).unwrap();
        make(&tree.join("boot")).unwrap();
        make(&tree.join("lib/modules").join(release)).unwrap();
        make(&archive).unwrap();
        fs::write(tree.join("DEBIAN/control"), &control).unwrap();
        let image = tree.join(format!("boot/vmlinuz-{release}"));
        fs::write(image, vec![0; IMAGE_BYTES]).unwrap();
        let deb = archive.join(format!("{name}.deb"));
        let mut build = Command::new("dpkg-deb");
        build.args(["-Znone", "--build"]).arg(&tree).arg(&deb);
        cmd::output(&mut build).unwrap();
        let (size, sum) = measured(&deb);
        let packages = format!("{control}Filename: ./{name}.deb\nSize: {size}\nSHA256: {sum}\n\n");
        fs::write(archive.join("Packages"), packages).unwrap();
        let (size, sum) = measured(&archive.join("Packages"));
        let date = cmd::output(Command::new("date").args(["-Ru"])).unwrap();
        let release = format!("Date: {date}SHA256:\n {sum} {size} Packages\n");
        fs::write(archive.join("Release"), release).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.0).unwrap();
    }
}

/// Size and SHA-256 of a file.
fn measured(file: &Path) -> (u64, String) {
    let sum = cmd::output(Command::new("sha256sum").arg(file)).unwrap();
    let sum = sum.split_whitespace().next().unwrap().to_owned();
    (fs::metadata(file).unwrap().len(), sum)
}

/// What is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_kernel_that_vanished_from_the_archive_gives_way_to_its_successor() {
    let place = Place::new("vanished");
    place.offer("6.1.9001");
    place.apt().unwrap().refresh().unwrap();
    // From here on the lists are old: what they name cannot be had.
    place.offer("6.1.9002");
    let kernel = place.fetch().unwrap();
    assert_eq!(kernel.release, "6.1.9002");
    let mut names = names(&place.store());
    names.sort();
    assert_eq!(names, ["linux-image-6.1.9002-cloud-amd64-unsigned", "lock"]);
}

#[test]
fn without_package_servers_what_was_fetched_earlier_serves() {
    let place = Place::new("offline");
    place.offer("6.1.9001");
    let fetched = place.fetch().unwrap();
    remove(&place.archive()).unwrap();
    remove(&place.0.join("apt")).unwrap();
    assert_eq!(place.fetch().unwrap().image, fetched.image);
}

#[test]
fn without_package_servers_and_without_a_kernel_it_says_so_and_leaves_nothing() {
    let place = Place::new("nothing");
    remove(&place.archive()).unwrap();
    let words = format!("{:#}", place.fetch().unwrap_err());
    let expected = "there is no 6.1 kernel to boot: Debian's package servers cannot be reached (Failed to fetch";
    assert!(words.starts_with(expected), "{words}");
    assert_eq!(names(&place.store()), ["lock"]);
}

#[test]
fn a_series_that_the_archive_does_not_offer_is_named() {
    let place = Place::new("series");
    place.offer("6.6.9001");
    let words = format!("{:#}", place.fetch().unwrap_err());
    assert_eq!(
        words,
        "there is no 6.1 kernel to boot: neither this system's package lists nor those of bookworm \
         have a kernel 6.1 for virtual machines"
    );
}

#[test]
fn a_full_disk_is_told_and_nothing_stays_on_it() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fetch_where_there_is_no_room(folder.into());
    }
    let place = Place::new("full");
    place.offer("6.1.9001");
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$1/store\" && exec \"$0\" --exact \
                 vm::fetch::tests::a_full_disk_is_told_and_nothing_stays_on_it";
    let mut inside = Command::new("unshare");
    if !workspace::is_root() {
        inside.args(["--user", "--map-root-user"]);
    }
    inside.args(["--mount", "sh", "-c", mount]);
    inside.arg(std::env::current_exe().unwrap()).arg(&place.0);
    inside.env(FOLDER, &place.0).stdin(Stdio::null());
    let output = inside.output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && words.contains("1 passed"),
        "{words}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn fetch_where_there_is_no_room(folder: PathBuf) {
    // Who made the place removes it.
    let place = std::mem::ManuallyDrop::new(Place(folder));
    let words = format!("{:#}", place.fetch().unwrap_err());
    let expected = format!(
        "the disk that holds {} is full: make room there",
        place.store().display()
    );
    assert!(words.contains(&expected), "{words}");
    assert!(words.contains("No space left on device"), "{words}");
    assert_eq!(names(&place.store()), ["lock"]);
}

#[test]
fn a_kernel_may_lie_in_several_packages() {
    let dependencies = [
        "linux-base",
        "linux-base-7.3.4+deb13-cloud-amd64",
        "linux-binary-7.3.4+deb13-cloud-amd64",
        "linux-modules-7.3.4+deb13-cloud-amd64",
        "dracut",
    ]
    .map(str::to_owned);
    let image = "linux-image-7.3.4+deb13-cloud-amd64";
    let expected = [image, &dependencies[2], &dependencies[3]];
    assert_eq!(parts(image, &dependencies), expected);
    assert_eq!(parts(image, &dependencies[..2]), [image]);
}

#[test]
fn a_folder_without_a_kernel_is_named() {
    let error = unpacked_kernel(SERIES, Path::new("/nonexistent")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel in /nonexistent has no modules"
    );
}
