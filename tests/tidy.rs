//! The architecture, checked: who may import whom, how long a file and a function may be, that
//! every file says what it is for, and that nothing committed names a machine's path.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/` from the bottom to the top. A module imports only from lines above its own.
const LAYERS: &[&[&str]] = &[
    &["ready"],
    &[
        "alarm",
        "background",
        "clock",
        "dial",
        "id",
        "parcel",
        "registry",
        "seed",
        "space",
        "verdict",
    ],
    &["exit"],
    &["history"],
    &["disk", "link", "model"],
    &["packet"],
    &["check", "cluster", "measure"],
    &["fault", "system", "workload"],
    &["load", "plan", "results"],
    &["report"],
    &["run"],
    &["campaign"],
    &["cli"],
    &["lib", "main"],
];

/// Modules of `src/` in which no clock is read, no file or socket opened and no runtime used.
const PURE: &[&str] = &[
    "check", "fault", "measure", "model", "plan", "report", "workload",
];

/// Words that a pure module does not contain.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::net",
    "std::fs",
    "Instant::now",
    "RunClock",
    "std::process",
];

/// Words that the node's protocol core does not contain.
const IMPURE_CORE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::time",
    "std::thread",
    "HashMap",
    "HashSet",
];

/// Files that may hold `unsafe`, each block with its reason.
const UNSAFE_ALLOWED: &[&str] = &[
    "src/cluster/reaper/server.rs",
    "src/packet/tap.rs",
    "src/ready.rs",
];

const LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 75;

#[test]
fn modules_import_only_downwards() {
    let rank: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(rank, names)| names.iter().map(move |name| (*name, rank)))
        .collect();
    let mut errors = Vec::new();
    for (path, text) in rust_files(&["src"]) {
        let module = module_of(&path);
        let Some(mine) = rank.get(module.as_str()) else {
            errors.push(format!(
                "{path}: module `{module}` is in no layer: add it to LAYERS"
            ));
            continue;
        };
        for import in imports(code_of(&text)) {
            let theirs = rank.get(import.as_str()).copied();
            if import != module && theirs.is_some_and(|theirs| theirs >= *mine) {
                errors.push(format!("{path}: `{module}` must not import `{import}`"));
            }
        }
    }
    none(&errors);
}

#[test]
fn only_main_and_its_command_line_name_the_node_crate() {
    let errors: Vec<String> = rust_files(&["src"])
        .filter(|(path, text)| path != "src/main.rs" && text.contains("chaos_node"))
        .map(|(path, _)| format!("{path}: names chaos_node: a bundled node is a process"))
        .collect();
    none(&errors);
}

#[test]
fn pure_modules_touch_no_clock_file_socket_or_runtime() {
    let mut errors = Vec::new();
    for (path, text) in rust_files(&["src"]) {
        if PURE.contains(&module_of(&path).as_str()) {
            let found = IMPURE.iter().filter(|word| code_of(&text).contains(**word));
            errors.extend(found.map(|word| format!("{path}: `{word}` in a pure module")));
        }
    }
    for (path, text) in rust_files(&["node/src/protocol"]) {
        let found = IMPURE_CORE
            .iter()
            .filter(|word| code_of(&text).contains(**word));
        errors.extend(found.map(|word| format!("{path}: `{word}` in the protocol core")));
    }
    none(&errors);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut errors = Vec::new();
    for (path, text) in rust_files(&["src", "node/src", "node/tests", "tests"]) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            errors.push(format!("{path}: {lines} lines, more than {LINES_MAX}"));
        }
        if !text.starts_with("//!") {
            errors.push(format!("{path}: does not begin with a module comment"));
        }
    }
    none(&errors);
}

#[test]
fn functions_are_short() {
    let mut errors = Vec::new();
    for (path, text) in rust_files(&["src", "node/src"]) {
        for (line, name, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                errors.push(format!("{path}:{line}: `{name}` has {length} lines"));
            }
        }
    }
    none(&errors);
}

#[test]
fn unsafe_code_stays_where_it_is_listed() {
    let errors: Vec<String> = rust_files(&["src", "node/src"])
        .filter(|(path, text)| {
            !UNSAFE_ALLOWED.contains(&path.as_str())
                && code_of(text)
                    .lines()
                    .any(|line| line.contains("unsafe ") && !line.trim_start().starts_with("//"))
        })
        .map(|(path, _)| format!("{path}: unsafe outside UNSAFE_ALLOWED"))
        .collect();
    none(&errors);
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    let errors: Vec<String> = rust_files(&["src", "node/src"])
        .filter(|(_, text)| text.contains("#[allow(") || text.contains("#![allow("))
        .map(|(path, _)| format!("{path}: #[allow]: use #[expect(lint, reason = …)]"))
        .collect();
    none(&errors);
}

#[test]
fn every_decision_has_a_number_and_a_title() {
    let mut files: Vec<PathBuf> = fs::read_dir("docs/decisions")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are decisions");
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let number = name.split('-').next().unwrap();
        assert!(
            number.len() == 4 && number.parse::<u32>().is_ok(),
            "{name}: NNNN-title.md"
        );
        assert!(
            fs::read_to_string(&path).unwrap().starts_with("# "),
            "{name}: begins with a title"
        );
    }
}

fn none(errors: &[String]) {
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

/// All Rust files below these folders, with their texts, in the order of their paths.
fn rust_files(roots: &[&str]) -> impl Iterator<Item = (String, String)> {
    let mut files = Vec::new();
    for root in roots {
        collect(Path::new(root), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "{roots:?} hold Rust files");
    files.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.to_str().unwrap().to_owned(), text)
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text before the unit tests.
fn code_of(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn module_of(path: &str) -> String {
    let below = path.strip_prefix("src/").unwrap();
    below
        .split('/')
        .next()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The modules named by `crate::…` outside comments.
fn imports(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.match_indices("crate::")
                .map(move |(at, word)| &line[at + word.len()..])
        })
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

/// Line, name and length of every function that rustfmt has laid out over several lines.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let Some(name) = function_name(trimmed) else {
            continue;
        };
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[at..]
            .iter()
            .position(|line| **line == end)
            .map_or(1, |n| n + 1);
        found.push((at + 1, name, length));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let at = line.find("fn ")?;
    let before = &line[..at];
    let words = [
        "pub",
        "async",
        "const",
        "unsafe",
        "pub(super)",
        "pub(crate)",
        "pub(in",
    ];
    if !before.split_whitespace().all(|word| words.contains(&word)) {
        return None;
    }
    if line.ends_with(';') || line.ends_with('}') {
        return None;
    }
    Some(
        line[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect(),
    )
}
