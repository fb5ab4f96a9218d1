//! The fuzz targets' corpora, replayed as they are and with random changes.

use std::fs;
use std::path::Path;

use bpf_tests::traffic::{Draw, Seed};

#[path = "../../fuzz/entries.rs"]
mod entries;

/// Changed copies of each file.
const CHANGES: usize = 200;

fn replay(corpus: &str, entry: fn(&[u8])) {
    let seed = Seed::from_env().unwrap();
    println!("{}", seed.replay());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(corpus);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "the corpus is there");
    for path in paths {
        println!("{}", path.display());
        let bytes = fs::read(path).unwrap();
        entry(&bytes);
        let mut draw = Draw::new(seed.derive());
        for _ in 0..CHANGES {
            entry(&changed(&bytes, &mut draw));
        }
    }
}

/// The bytes with some of them replaced, left out or repeated.
fn changed(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw.within(0..4) {
        let at = draw.within(0..bytes.len() as u64 + 1) as usize;
        match draw.within(0..3) {
            0 if at < bytes.len() => bytes[at] = draw.within(0..256) as u8,
            1 if at < bytes.len() => bytes.truncate(at),
            _ => bytes.insert(at, draw.within(0..256) as u8),
        }
    }
    bytes
}

#[test]
fn messages_become_requests_or_refusals() {
    replay("convert", entries::convert);
}

#[test]
fn files_become_settings_or_refusals() {
    replay("config", entries::config);
}
