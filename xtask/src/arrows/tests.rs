use std::fs;

use super::*;

/// The violations of a crate with these files.
fn violations(files: &[(&str, &str)], layers: &[&Layers]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let modules = Modules::read(&directory.path().join("lib.rs")).unwrap();
    let violations = violations_of(&modules, layers).unwrap();
    let prefix = format!("{}/", directory.path().display());
    violations.into_iter().map(|line| line.replace(&prefix, "")).collect()
}

const LAYERS: Layers = Layers { package: "example", root: Root::Lib, module: "", order: &["high", "low"] };

/// A crate with two layers; the code is in `low`.
fn from_low(code: &str) -> Vec<String> {
    let files = [
        ("lib.rs", "mod high;\nmod low;\npub use self::high::Thing as Renamed;\n"),
        ("high/mod.rs", "pub mod deep;\npub struct Thing;\n"),
        ("high/deep.rs", "pub fn f() {}\n"),
        ("low.rs", code),
    ];
    violations(&files, &[&LAYERS])
}

#[test]
fn an_import_from_a_higher_layer_is_refused_with_its_place() {
    let refused = from_low("//! Low.\n\nuse crate::high::Thing;\n");
    assert_eq!(
        refused,
        ["low.rs:3: crate::high::Thing: low lies below high in example, and must not import it"]
    );
}

#[test]
fn every_form_of_an_import_is_found() {
    for code in [
        "use super::high::Thing;",
        "use crate::{high::{self, deep::f}};",
        "use crate::high::*;",
        "use crate::high as other;",
        "pub use super::high::deep;",
        "fn f() { use super::high::Thing; }",
        "fn f() { crate::high::deep::f() }",
        "fn f() -> super::high::Thing { loop {} }",
        "fn f() { println!(\"{}\", crate::high::deep::f()) }",
        "#[arg(value_parser = crate::high::deep::f)] struct S;",
        "mod inner { fn f() { super::super::high::deep::f() } }",
        // By the name that the root has for it.
        "use crate::Renamed;",
    ] {
        assert!(!from_low(code).is_empty(), "{code}");
    }
}

#[test]
fn what_is_no_import_is_not_refused() {
    for code in [
        "// use crate::high::Thing;\n/// See [`crate::high::Thing`].\nstruct S;",
        "const TEXT: &str = \"crate::high::Thing\";",
        "#[cfg(test)] mod tests { use crate::high::Thing; }",
        "#[cfg(all(test, unix))] use crate::high::Thing;",
        "struct S; impl S { #[cfg(test)] fn f() { crate::high::deep::f() } }",
        "mod inner { pub(in super::super) struct S; }",
        "use high::Thing;",
        "fn f(high: u8) { let _ = high; }",
    ] {
        assert_eq!(from_low(code), [""; 0], "{code}");
    }
}

#[test]
fn a_higher_layer_imports_a_lower_one() {
    let files = [
        ("lib.rs", "mod high; mod low;"),
        ("high.rs", "use super::low::Thing;"),
        ("low.rs", "pub struct Thing;"),
    ];
    assert_eq!(violations(&files, &[&LAYERS]), [""; 0]);
}

#[test]
fn siblings_make_no_circle_at_any_depth() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b;\nmod c;\nmod d;\npub use self::d::D;\n"),
        ("a/b.rs", "use super::c::C;\npub struct B;\n"),
        ("a/c.rs", "use super::D;\npub struct C;\n"),
        ("a/d.rs", "pub struct D(Option<Box<crate::a::b::B>>);\n"),
    ];
    assert_eq!(
        violations(&files, &[]),
        [
            "a/b.rs:1: super::c::C: b imports c, and c leads back to b",
            "a/c.rs:1: super::D: c imports d, and d leads back to c",
            "a/d.rs:1: crate::a::b::B: d imports b, and b leads back to d",
        ]
    );
}

#[test]
fn a_module_and_its_children_may_use_each_other() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b;\nuse self::b::B;\npub struct A;\n"),
        ("a/b.rs", "use super::A;\npub struct B;\n"),
    ];
    assert_eq!(violations(&files, &[]), [""; 0]);
}

#[test]
fn the_table_and_the_modules_agree() {
    let of = |files: &[(&str, &str)]| {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            fs::write(directory.path().join(path), text).unwrap();
        }
        let modules = Modules::read(&directory.path().join("lib.rs")).unwrap();
        violations_of(&modules, &[&LAYERS]).unwrap_err().to_string()
    };
    let error = of(&[("lib.rs", "mod high { } mod low { } mod other { }")]);
    assert!(error.contains("example has no layer for its module other"), "{error}");
    let error = of(&[("lib.rs", "mod high { }")]);
    assert!(error.contains("example has no module low"), "{error}");
}

#[test]
fn the_path_of_a_module_is_heeded() {
    let files = [
        ("lib.rs", "mod high { pub struct Thing; }\n#[path = \"elsewhere.rs\"]\nmod low;\n"),
        ("elsewhere.rs", "use super::high::Thing;\n"),
    ];
    let refused = violations(&files, &[&LAYERS]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("elsewhere.rs:1: "), "{refused:?}");
}

#[test]
fn the_workspace_follows_its_arrows() {
    check().unwrap();
}

#[test]
fn a_file_that_no_module_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("inside/src")).unwrap();
    fs::write(at("lib.rs"), "#[cfg(test)]\nmod tests;\n#[path = \"other.rs\"]\nmod named;\n").unwrap();
    for name in ["tests.rs", "other.rs", "stray.rs", "inside/Cargo.toml", "inside/src/lib.rs"] {
        fs::write(at(name), "").unwrap();
    }
    let stray = stray(&files::of_crate(&at("lib.rs")).unwrap(), &files::below(directory.path()).unwrap());
    assert_eq!(stray, [format!("{}: no module has this file", at("stray.rs").display())]);
}

#[test]
fn needs_of_a_package_are_found_through_others() {
    let mut command = MetadataCommand::new();
    let metadata = command.current_dir(root()).no_deps().exec().unwrap();
    let find = |name: &str| metadata.packages.iter().find(|package| package.name == name).unwrap();
    let needed = needed_by(find("sni-probe"), &metadata);
    // By way of sni-probe-daemon and sni-probe-capture.
    assert!(needed.contains(&("aya", DependencyKind::Normal)));
    let needed = needed_by(find("system-tests"), &metadata);
    assert!(needed.contains(&("rtnetlink", DependencyKind::Development)));
    assert!(!needed.contains(&("rtnetlink", DependencyKind::Normal)));
}
