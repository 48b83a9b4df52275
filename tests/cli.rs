//! The command line as a user meets it: messages, exit codes, files. Through the public binary.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::path::Path;
use std::process::{Command, Output};

fn chaos(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_plan_with_a_typing_error_is_refused_with_place_and_help_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("typo.yaml");
    std::fs::write(
        &plan,
        "version: 1\nname: typo\nsteps:\n  - kil: {node: leader}\n",
    )
    .unwrap();
    let output = chaos(&["run", "typo.yaml"], folder.path());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("typo.yaml:4:5"), "{stderr}");
    assert!(stderr.contains("kill"), "{stderr}");
    assert!(
        !folder.path().join("results").exists(),
        "nothing was started"
    );
}

#[test]
fn a_plan_that_is_not_there_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = chaos(&["run", "missing.yaml"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("missing.yaml"));
}

#[test]
fn an_unknown_command_is_a_usage_error_and_help_is_none() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(chaos(&["rum"], folder.path()).status.code(), Some(2));
    let help = chaos(&["--help"], folder.path());
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "check", "report", "validate", "list"] {
        assert!(text(&help.stdout).contains(command), "{command}");
    }
}

#[test]
fn a_results_folder_that_cannot_be_written_is_named_with_exit_5() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("p.yaml");
    std::fs::write(&plan, "version: 1\nname: p\nsteps:\n  - wait: 1s\n").unwrap();
    std::fs::write(folder.path().join("file"), "in the way").unwrap();
    let output = chaos(&["run", "p.yaml", "--out", "file/results"], folder.path());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("file/results"), "{stderr}");
}

#[test]
fn a_plan_that_plants_a_bug_is_refused_unless_bugs_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "version: 1\nname: p\ncluster: {config: {bug: no-truncate}}\nsteps:\n  - wait: 1s\n";
    std::fs::write(folder.path().join("p.yaml"), plan).unwrap();
    let run = |more: &[&str]| {
        let arguments = [&["run", "p.yaml", "--dry-run"], more].concat();
        let output = chaos(&arguments, folder.path());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        (output.status.code(), stdout, stderr)
    };
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert!(
        stderr.contains("p.yaml plants a bug in the nodes: no-truncate")
            && stderr.contains("--allow-bugs"),
        "{stderr}"
    );
    let (code, stdout, _) = run(&["--allow-bugs"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("bug = no-truncate"), "{stdout}");
    let (code, stdout, _) = run(&["--set", "cluster.config.bug=none"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("bug = none"), "{stdout}");
    let (code, _, stderr) = run(&["--set", "cluster.nodes=5"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("only cluster.config.NAME can"), "{stderr}");
}

#[test]
fn a_dry_run_shows_the_steps_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("p.yaml");
    let steps = "  - kill: {node: n2, as: victim}\n  - start: {node: $victim}\n";
    std::fs::write(&plan, format!("version: 1\nname: p\nsteps:\n{steps}")).unwrap();
    let output = chaos(&["run", "p.yaml", "--dry-run"], folder.path());
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(stdout.contains("kill") && stdout.contains("n2"), "{stdout}");
    assert!(!folder.path().join("results").exists());
}

#[test]
fn a_history_is_judged_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let line = |process: u32, kind: &str, f: &str, value: &str, time: u32| {
        format!(
            "{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":\"x\",\"value\":{value},\"time\":{time}}}\n"
        )
    };
    let write = line(1, "invoke", "write", "1", 1) + &line(1, "ok", "write", "1", 2);
    let good =
        write.clone() + &line(2, "invoke", "read", "null", 3) + &line(2, "ok", "read", "1", 4);
    let stale = write + &line(2, "invoke", "read", "null", 3) + &line(2, "ok", "read", "null", 4);
    std::fs::write(folder.path().join("good.jsonl"), good).unwrap();
    std::fs::write(folder.path().join("stale.jsonl"), stale).unwrap();
    std::fs::write(
        folder.path().join("broken.jsonl"),
        "{\"process\":1,\"type\":\"invok\"}\n",
    )
    .unwrap();
    assert_eq!(
        chaos(&["check", "good.jsonl"], folder.path()).status.code(),
        Some(0)
    );
    let output = chaos(&["check", "stale.jsonl"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    for told in [
        "FAIL",
        "Longest order that works: write 1; then read → nil does not fit",
        "picture  counterexample.html",
    ] {
        assert!(stdout.contains(told), "{stdout}");
    }
    let sentence = "found the value nil";
    assert!(stdout.matches(sentence).count() <= 1, "told once: {stdout}");
    let page = std::fs::read_to_string(folder.path().join("counterexample.html")).unwrap();
    assert!(page.contains("<svg"), "{page}");
    let output = chaos(&["check", "broken.jsonl"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("broken.jsonl:1"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_picture_is_drawn_only_of_a_violation_and_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let histories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let stale = histories.join("stale-read.jsonl").display().to_string();
    let future = histories.join("future-read.jsonl").display().to_string();
    let good = folder.path().join("good.jsonl");
    let line = |kind: &str, time: u64| {
        format!(
            "{{\"process\":1,\"type\":\"{kind}\",\"f\":\"write\",\"key\":\"x\",\"value\":1,\"time\":{time}}}\n"
        )
    };
    std::fs::write(&good, line("invoke", 1) + &line("ok", 2)).unwrap();
    let drawn = |arguments: &[&str]| {
        let output = chaos(arguments, folder.path());
        let mut pages: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "html")
            })
            .map(|path| {
                std::fs::remove_file(&path).unwrap();
                path.file_name().unwrap().to_string_lossy().into_owned()
            })
            .collect();
        pages.sort();
        (output, pages)
    };
    let nothing: [&str; 0] = [];
    assert_eq!(drawn(&["check", "good.jsonl"]).1, nothing);
    assert_eq!(drawn(&["check", &stale, "--picture", "none"]).1, nothing);
    assert_eq!(
        drawn(&["check", &stale, "--picture", "p.html"]).1,
        ["p.html"]
    );
    assert_eq!(
        drawn(&["check", &stale, &future]).1,
        [
            "counterexample-future-read.html",
            "counterexample-stale-read.html"
        ]
    );
    let (output, _) = drawn(&["check", &stale, "--picture", "no/such/folder.html"]);
    assert_eq!(output.status.code(), Some(1), "the verdict stands");
    assert!(text(&output.stderr).contains("warning: no/such/folder.html was not written"));
}

/// A write that a later read does not see, as Jepsen writes it.
const STALE_EDN: &str = "\
{:process 0, :type :invoke, :f :write, :value 1, :time 1}
{:process 0, :type :ok, :f :write, :value 1, :time 2}
{:process :nemesis, :type :info, :f :start, :value nil, :time 3}
{:process 1, :type :invoke, :f :read, :value nil, :time 4}
{:process 1, :type :ok, :f :read, :value nil, :time 5}
";

#[test]
fn histories_of_other_tools_are_read_judged_and_their_counterexamples_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("stale.edn", STALE_EDN);
    write(
        "jepsen.log",
        "INFO  jepsen.util - 0\t:invoke\t:cas\t[nil 1]\nINFO  jepsen.util - 0 :fail :cas [nil 1]\n",
    );
    write(
        "kv.txt",
        "{:process 2, :type :invoke, :f :append, :key \"6\", :value \"x\"}\n\
         {:process 2, :type :ok, :f :append, :key \"6\", :value \"x\"}\n\
         {:process 2, :type :invoke, :f :get, :key \"6\", :value nil}\n\
         {:process 2, :type :ok, :f :get, :key \"6\", :value \"x\"}\n",
    );
    let check = |arguments: &[&str]| {
        let all = [&["check"], arguments, &["--picture", "none"]].concat();
        let output = chaos(&all, folder.path());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        (output.status.code(), stdout, stderr)
    };
    let (code, stdout, _) = check(&["kv.txt"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.contains("read as porcupine-kv, judged as kv, because files of this format"),
        "{stdout}"
    );
    let (code, stdout, _) = check(&["jepsen.log"]);
    assert_eq!(code, Some(1), "a failed cas saw another value: {stdout}");
    assert!(stdout.contains("jepsen-log"), "{stdout}");
    let (code, stdout, stderr) = check(&["stale.edn", "--export", "jepsen-log:least.log"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("least.log"), "{stdout}");
    let (code, stdout, _) = check(&["least.log", "--format", "jepsen-log", "--output", "json"]);
    assert_eq!(code, Some(1), "{stdout}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["format"], "jepsen-log");
    assert_eq!(
        (&json["model"], &json["operations"]),
        (&"register".into(), &2.into())
    );
    let (code, stdout, _) = check(&["stale.edn", "--format", "edn", "--format", "quiet"]);
    assert_eq!((code, &*stdout), (Some(1), ""));
    let (code, _, stderr) = check(&["stale.edn", "--export", "porcupine-kv:none/x"]);
    assert_eq!(code, Some(1), "the verdict stands");
    assert!(stderr.contains("none/x was not written"), "{stderr}");
}

#[test]
fn a_malformed_line_is_a_usage_error_unless_it_may_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let broken = STALE_EDN.replace(
        "{:process :nemesis",
        "{:nothing 1}\nnonsense\n{:process :nemesis",
    );
    std::fs::write(folder.path().join("broken.edn"), broken).unwrap();
    let output = chaos(&["check", "broken.edn"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("broken.edn:3: `process` is missing"),
        "{stderr}"
    );
    assert!(stderr.contains("--lenient"), "{stderr}");
    let output = chaos(&["check", "broken.edn", "--lenient"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("skipped 2 lines (first: broken.edn:3: "),
        "{stdout}"
    );
}

#[test]
fn models_and_formats_that_do_not_fit_are_usage_errors_that_name_those_that_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("h.edn"), STALE_EDN).unwrap();
    std::fs::write(folder.path().join("h.csv"), "process,type\n").unwrap();
    let refused = |arguments: &[&str]| {
        let output = chaos(&[&["check"], arguments].concat(), folder.path());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        stderr
    };
    assert!(refused(&["h.edn", "--model", "stack"]).contains("append-list"));
    assert!(refused(&["h.edn", "--model", "queue"]).contains("--model register"));
    assert!(refused(&["h.edn", "--format", "xml"]).contains("porcupine-kv"));
    assert!(refused(&["h.edn", "--format", "jsonl"]).contains("h.edn:1: "));
    assert!(refused(&["h.csv"]).contains("--format"));
    assert!(refused(&["h.edn", "--export", "edn:"]).contains("path"));
    let list = text(&chaos(&["list", "models"], folder.path()).stdout);
    assert!(
        list.contains("append-list") && list.contains("mutex"),
        "{list}"
    );
    let list = text(&chaos(&["list", "formats"], folder.path()).stdout);
    assert!(
        list.contains("jepsen-log") && list.contains("porcupine-kv"),
        "{list}"
    );
}

#[test]
fn lists_name_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let stdout = text(&chaos(&["list"], folder.path()).stdout);
    for name in [
        "kill",
        "power_off",
        "zab",
        "register",
        "detect.first",
        "lost_writes",
    ] {
        assert!(stdout.contains(name), "{name} in {stdout}");
    }
    let runs = chaos(&["list", "runs"], folder.path());
    assert!(text(&runs.stdout).contains("no runs in results"));
    let report = chaos(&["report", "nothing"], folder.path());
    assert_eq!(report.status.code(), Some(2));
}

#[test]
fn every_plan_of_the_repository_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = chaos(&["validate", "plans", "plans/nightly"], root);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let plans = ["plans", "plans/nightly"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension().is_some_and(|ending| ending == "yaml")
        })
        .count();
    assert!(plans >= 11, "{plans} plans");
    assert_eq!(
        text(&output.stdout).matches(": valid").count(),
        plans,
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_list_of_nodes_means_all_of_them_and_a_list_in_the_place_of_keys_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "version: 1\nname: p\nsteps:\n  - kill: [n1, n2]\n  - start: [n1, n2]\n";
    std::fs::write(folder.path().join("p.yaml"), plan).unwrap();
    let shown = text(&chaos(&["run", "p.yaml", "--dry-run"], folder.path()).stdout);
    assert!(
        shown.contains("kill [n1, n2]") && shown.contains("start [n1, n2]"),
        "{shown}"
    );
    let plan = "version: 1\nname: p\nsteps:\n  - cut: [n1, n2]\n";
    std::fs::write(folder.path().join("q.yaml"), plan).unwrap();
    let output = chaos(&["validate", "q.yaml"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stdout).contains("q.yaml:4:"),
        "{}",
        text(&output.stdout)
    );
    assert!(
        text(&output.stdout).contains("found a list"),
        "{}",
        text(&output.stdout)
    );
}
