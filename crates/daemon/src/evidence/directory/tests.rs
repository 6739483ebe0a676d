use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::evidence::testing::{START_NS, case};

const NO_LIMITS: Limits = Limits { handshakes: 1_000, bytes: 1 << 30 };

fn name(number: u16) -> FileName {
    case(number).name
}

fn open(path: &Path, limits: Limits) -> Directory {
    let mut directory = Directory::open(path, limits).unwrap();
    directory.take_stock().unwrap();
    directory
}

fn listing(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn names(numbers: impl IntoIterator<Item = u16>) -> Vec<String> {
    numbers.into_iter().map(|number| name(number).to_string()).collect()
}

/// The metadata of what is there agrees with what is counted.
fn check(directory: &Directory, path: &Path) {
    let files = listing(path);
    let ours = files.iter().filter(|file| FileName::parse(file).is_some());
    let sizes: Vec<u64> = ours.map(|file| fs::metadata(path.join(file)).unwrap().len()).collect();
    assert_eq!((directory.files(), directory.bytes()), (sizes.len(), sizes.iter().sum()));
}

#[test]
fn names_sort_by_time() {
    assert_eq!(START_NS, 1_772_719_402_000_000_000);
    assert_eq!(name(7).as_str(), "20260305T140329.000000Z-192.0.2.7-7-reset_by_gateway.pcapng");
    assert!((1..100).all(|number| name(number) > name(number - 1)));
}

#[test]
fn made_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("of/evidence");
    let mut directory = open(&path, NO_LIMITS);
    directory.add(name(1), b"abc").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.join(name(1).as_str())).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read(path.join(name(1).as_str())).unwrap(), b"abc");
    assert_eq!(listing(&path), names([1]));
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let path = tempfile::tempdir().unwrap();
    let mut directory = open(path.path(), Limits { handshakes: 3, ..NO_LIMITS });
    for number in 0..10 {
        directory.add(name(number), b"abc").unwrap();
        check(&directory, path.path());
    }
    assert_eq!(listing(path.path()), names([7, 8, 9]));
}

#[test]
fn the_oldest_go_when_it_is_too_much() {
    let path = tempfile::tempdir().unwrap();
    let mut directory = open(path.path(), Limits { bytes: 10_000, ..NO_LIMITS });
    for number in 0..10 {
        directory.add(name(number), &[0; 3_000]).unwrap();
        check(&directory, path.path());
    }
    assert_eq!(listing(path.path()), names([7, 8, 9]));
    directory.add(name(10), &[0; 9_000]).unwrap();
    assert_eq!(listing(path.path()), names([10]));
    // One that has no place at all costs no other.
    assert!(directory.add(name(11), &[0; 10_001]).is_err());
    assert_eq!(listing(path.path()), names([10]));
    check(&directory, path.path());
}

#[test]
fn what_an_earlier_run_left_counts() {
    let path = tempfile::tempdir().unwrap();
    let mut directory = open(path.path(), NO_LIMITS);
    for number in 0..10 {
        directory.add(name(number), b"abc").unwrap();
    }
    drop(directory);
    fs::write(path.path().join(UNFINISHED), b"left by one that was killed").unwrap();
    let mut directory = open(path.path(), Limits { handshakes: 5, ..NO_LIMITS });
    assert_eq!(listing(path.path()), names(5..10));
    directory.add(name(10), b"abc").unwrap();
    assert_eq!(listing(path.path()), names(6..11));
    check(&directory, path.path());
}

/// A clock that was ahead, and was set back.
#[test]
fn files_from_the_future_do_not_push_out_new_ones() {
    let path = tempfile::tempdir().unwrap();
    let mut directory = open(path.path(), Limits { handshakes: 2, ..NO_LIMITS });
    for number in [100, 101, 3, 4] {
        directory.add(name(number), b"abc").unwrap();
    }
    assert_eq!(listing(path.path()), names([3, 4]));
}

#[test]
fn other_files_are_not_touched() {
    let path = tempfile::tempdir().unwrap();
    let others = ["notes.txt", "capture.pcapng", "20260305.pcapng"];
    for other in others {
        fs::write(path.path().join(other), other).unwrap();
    }
    // A directory and a link that have names like ours.
    fs::create_dir(path.path().join(name(1).as_str())).unwrap();
    std::os::unix::fs::symlink("notes.txt", path.path().join(name(2).as_str())).unwrap();
    let mut directory = open(path.path(), Limits { handshakes: 1, ..NO_LIMITS });
    assert_eq!((directory.files(), directory.bytes()), (0, 0));
    for number in 3..6 {
        directory.add(name(number), b"abc").unwrap();
    }
    let listing = listing(path.path());
    assert_eq!(listing.len(), others.len() + 3, "{listing:?}");
    assert_eq!(fs::read_to_string(path.path().join("notes.txt")).unwrap(), "notes.txt");
    assert!(fs::symlink_metadata(path.path().join(name(2).as_str())).unwrap().is_symlink());
}

#[test]
fn files_that_somebody_takes_away_are_no_matter() {
    let path = tempfile::tempdir().unwrap();
    let mut directory = open(path.path(), Limits { handshakes: 2, ..NO_LIMITS });
    for number in 0..2 {
        directory.add(name(number), b"abc").unwrap();
    }
    fs::remove_file(path.path().join(name(0).as_str())).unwrap();
    directory.add(name(2), b"abc").unwrap();
    directory.add(name(2), b"abcd").unwrap();
    check(&directory, path.path());
    assert_eq!(directory.bytes(), 4);
}

#[test]
fn what_is_no_directory_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = format!("{:#}", Directory::open(&path, NO_LIMITS).unwrap_err());
        assert!(error.contains(&format!("--evidence {}", path.display())), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_directory_is_one_daemons() {
    let path = tempfile::tempdir().unwrap();
    let first = open(path.path(), NO_LIMITS);
    let error = Directory::open(path.path(), NO_LIMITS).unwrap_err().to_string();
    assert!(error.contains("another sni-probe"), "{error}");
    drop(first);
    open(path.path(), NO_LIMITS);
}

/// As the writer's thread does it, which has no capabilities: root's are no help then.
#[test]
fn a_directory_that_cannot_be_written_to_is_said() {
    let path = tempfile::tempdir().unwrap();
    fs::set_permissions(path.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let mut directory = Directory::open(path.path(), NO_LIMITS).unwrap();
    let taken = std::thread::spawn(move || {
        sni_probe_capture::privileges::keep_only(&[]).unwrap();
        directory.take_stock()
    });
    let error = format!("{:#}", taken.join().unwrap().unwrap_err());
    assert!(error.contains("cannot write there") && error.contains("denied"), "{error}");
}
