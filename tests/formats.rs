//! What a run prints and keeps, in each of its formats, through the public binary on real processes.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Nothing goes wrong, and one limit cannot be kept.
const PLAN: &str = "\
version: 1
name: brief
seed: 7
cluster: {nodes: 3}
workload: {clients: 4, rate: 200/s}
steps:
  - wait_for: {state: leader, timeout: 60s}
  - wait_for: {ops: 50, timeout: 60s}
expect:
  - linearizable
  - latency.all p50 <= 1ns
";

fn chaos(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("GITHUB_STEP_SUMMARY", folder.join("step.md"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Which nodes of the newest run still have their data.
fn kept(folder: &Path) -> usize {
    let nodes = std::fs::read_dir(folder.join("results/latest/nodes")).unwrap();
    nodes
        .filter(|node| node.as_ref().unwrap().path().join("data").exists())
        .count()
}

#[test]
fn a_missed_limit_is_told_in_every_format_and_its_data_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("brief.yaml"), PLAN).unwrap();
    let output = chaos(&["run", "brief.yaml", "--format", "github"], path);
    let stdout = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{stdout}\n{}",
        text(&output.stderr)
    );
    let missed = "::error file=brief.yaml,line=11,title=brief%3A latency.all p50 <= 1ns fail::";
    assert!(stdout.contains(missed), "{stdout}");
    assert_eq!(stdout.matches("\n::error ").count(), 1, "{stdout}");
    let page = std::fs::read_to_string(path.join("step.md")).unwrap();
    assert!(page.starts_with("# FAIL: brief"), "{page}");
    assert_eq!(kept(path), 3, "the data of a run that failed are kept");

    let output = chaos(&["report", "--format", "jsonl"], path);
    let lines = text(&output.stdout);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, before) = lines.split_last().unwrap();
    assert_eq!(summary["exit_code"], 4);
    let checks = before.iter().filter(|line| line["type"] == "check").count();
    assert_eq!(checks, summary["checks"].as_array().unwrap().len());
    assert!(before.iter().any(|line| line["phase"] == "load"));
    let schema = chaos(&["schema", "--summary"], path);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(summary)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(wrong, [""; 0]);

    let listed = chaos(&["list", "runs", "--format", "json"], path);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["plan"], &listed[0]["exit_code"]),
        (&"brief".into(), &4.into())
    );
    let prom = std::fs::read_to_string(path.join("results/latest/metrics.prom")).unwrap();
    assert!(prom.ends_with("# EOF\n") && prom.contains("chaos_exit_code{plan=\"brief\""));
    let written = std::fs::read_to_string(path.join("step.md")).unwrap();
    assert_eq!(
        written, page,
        "only `github` adds to the summary of the step"
    );
}

#[test]
fn several_plans_are_a_table_and_data_are_kept_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("plans")).unwrap();
    let fine = PLAN.replace("  - latency.all p50 <= 1ns\n", "");
    std::fs::write(path.join("plans/a.yaml"), PLAN.replace("brief", "missed")).unwrap();
    std::fs::write(path.join("plans/b.yaml"), fine.replace("brief", "fine")).unwrap();
    let output = chaos(&["run", "plans", "--keep", "never"], path);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{stdout}\n{stderr}");
    let (_, table) = stdout.split_once("verdict  exit  plan").unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert!(
        rows[1].contains("fail") && rows[1].contains("latency.all p50 <= 1ns"),
        "{table}"
    );
    assert!(
        rows[2].contains("pass") && rows[2].contains("fine"),
        "{table}"
    );
    assert!(table.ends_with("  1 of 2 passed\n"), "{table}");
    assert!(
        !stderr.contains('\x1b') && !stderr.contains('\r'),
        "{stderr}"
    );
    assert!(!path.join("step.md").exists());
    for entry in std::fs::read_dir(path.join("results")).unwrap() {
        let nodes = entry.unwrap().path().join("nodes");
        // The list of all runs lies beside them.
        if !nodes.exists() {
            continue;
        }
        assert!(!nodes.join("n1/data").exists() && nodes.join("n1").exists());
    }
    let output = chaos(&["run", "plans/b.yaml", "--keep", "always"], path);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(kept(path), 3);
}

#[test]
fn a_plan_to_start_from_is_written_once_and_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let output = chaos(&["new", "mine", "--schema"], path);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let plan = std::fs::read_to_string(path.join("mine.yaml")).unwrap();
    assert!(plan.contains("name: mine "), "{plan}");
    let schema = std::fs::read(path.join("chaos.schema.json")).unwrap();
    assert_eq!(schema, chaos(&["schema"], path).stdout);
    let output = chaos(&["validate", "mine.yaml"], path);
    assert_eq!(text(&output.stdout), "mine.yaml: valid, 5 trials\n");
    let again = chaos(&["new", "mine"], path);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("mine.yaml is there already"));
    let printed = text(&chaos(&["new", "-"], path).stdout);
    assert_eq!(printed, plan.replace("mine", "my-plan"));
    for (arguments, told) in [
        (["new", "a b"], "cannot name a plan"),
        (["new", "--system=etcd"], "NAME"),
    ] {
        let refused = chaos(&arguments, path);
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            text(&refused.stderr).contains(told),
            "{}",
            text(&refused.stderr)
        );
    }
    let pages = chaos(&["man", "man1"], path);
    assert_eq!(pages.status.code(), Some(0));
    assert!(path.join("man1/chaos-run.1").exists());
}

#[test]
fn output_is_coloured_by_option_and_convention() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "version: 1\n").unwrap();
    let coloured = |arguments: &[&str], variable: &str, value: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
            .args([&["validate", "bad.yaml"], arguments].concat())
            .current_dir(folder.path())
            .env_remove("NO_COLOR")
            .env(variable, value)
            .output()
            .unwrap();
        text(&output.stdout).contains('\x1b')
    };
    assert!(!coloured(&[], "CLICOLOR", "1"), "a pipe is no terminal");
    assert!(coloured(&[], "CLICOLOR_FORCE", "1"));
    assert!(!coloured(&["--color", "never"], "CLICOLOR_FORCE", "1"));
    assert!(coloured(&["--color", "always"], "NO_COLOR", "1"));
}
