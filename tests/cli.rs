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

/// A write that was acknowledged, and a read after it that shows nothing.
const STALE_EDN: &str = "{:process :nemesis, :type :info, :f :kill, :value nil}\n\
    {:process 0, :type :invoke, :f :write, :value 1}\n\
    {:process 0, :type :ok, :f :write, :value 1}\n\
    {:process 1, :type :invoke, :f :read, :value nil}\n\
    {:process 1, :type :ok, :f :read, :value nil}\n";

#[test]
fn histories_of_other_tools_are_read_and_a_counterexample_is_written_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("stale.edn"), STALE_EDN).unwrap();
    let check = |arguments: &[&str]| {
        let output = chaos(&[&["check", "--picture", "none"], arguments].concat(), path);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (output.status.code(), all)
    };
    for target in ["jsonl:out.jsonl", "out.edn", "jepsen-log:out.log"] {
        let (code, told) = check(&["stale.edn", "--export", target]);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("read as edn, judged as register"), "{told}");
        let file = target.rsplit(':').next().unwrap();
        let (code, told) = check(&[file]);
        assert_eq!(code, Some(1), "{file}: {told}");
        assert!(told.contains("2 operations on 1 key"), "{told}");
    }
    let (code, told) = check(&["stale.edn", "--export", "porcupine-kv:out.kv"]);
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = check(&["out.kv"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("judged as kv"), "{told}");
    let (code, told) = check(&["stale.edn", "--format", "json", "--format", "edn"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("\"format\":\"edn\""), "{told}");
}

#[test]
fn an_export_that_cannot_be_written_is_a_warning_and_the_verdict_stands() {
    let folder = tempfile::tempdir().unwrap();
    let histories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let files = ["stale-read.jsonl", "future-read.jsonl"];
    let [stale, future] = files.map(|name| histories.join(name).display().to_string());
    let check = |arguments: &[&str]| {
        let all = [&["check", "--picture", "none"], arguments].concat();
        let output = chaos(&all, folder.path());
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, _, told) = check(&[&stale, "--export", "jepsen-log:none/x"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("warning: none/x was not written: "), "{told}");
    let (code, told, _) = check(&[&stale, &future, "--export", "edn:x.edn"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(folder.path().join("x-stale-read.edn").exists(), "{told}");
    assert!(folder.path().join("x-future-read.edn").exists(), "{told}");
    let (code, told, _) = check(&[&stale, "--format", "jsonl", "--output", "quiet"]);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    std::fs::write(folder.path().join("h.csv"), "process,type\n").unwrap();
    for (arguments, help) in [
        (["h.csv", "--format", "auto"], "--format and one of"),
        (["h.csv", "--format", "xml"], "porcupine-kv"),
        (["h.csv", "--export", "edn:"], "path"),
    ] {
        let (code, _, told) = check(&arguments);
        assert!(code == Some(2) && told.contains(help), "{told}");
    }
    let listed = text(&chaos(&["list", "formats"], folder.path()).stdout);
    assert!(listed.contains("jepsen-log"), "{listed}");
}

#[test]
fn a_malformed_history_is_refused_by_its_line_or_read_leniently() {
    let folder = tempfile::tempdir().unwrap();
    let broken = STALE_EDN.replace(":read, :value nil}\n", ":read, :value 1}\n{:process\n");
    std::fs::write(folder.path().join("broken.edn"), broken).unwrap();
    let output = chaos(&["check", "broken.edn"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("broken.edn:5: "), "{told}");
    let output = chaos(&["check", "broken.edn", "--lenient"], folder.path());
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("skipped 2 lines (first: broken.edn:5: "),
        "{told}"
    );
}

#[test]
fn a_model_that_does_not_know_an_operation_is_refused_with_those_that_do() {
    let folder = tempfile::tempdir().unwrap();
    let queue = "{:process 0, :type :invoke, :f :enqueue, :value 1}\n\
        {:process 0, :type :ok, :f :enqueue, :value 1}\n\
        {:process 0, :type :invoke, :f :dequeue}\n{:process 0, :type :ok, :f :dequeue, :value 2}\n";
    std::fs::write(folder.path().join("queue.edn"), queue).unwrap();
    let check = |model: &str| {
        chaos(
            &["check", "queue.edn", "--model", model, "--picture", "none"],
            folder.path(),
        )
    };
    for model in ["auto", "queue", "fifo", "fifo-queue"] {
        assert_eq!(check(model).status.code(), Some(1), "{model}");
    }
    let refused = check("register");
    assert_eq!(refused.status.code(), Some(2));
    let told = text(&refused.stderr);
    assert!(
        told.contains("`enqueue 1`") && told.contains("--model queue or --model fifo"),
        "{told}"
    );
    let refused = check("stack");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("write one of register, kv"),
        "{}",
        text(&refused.stderr)
    );
    let listed = chaos(&["list", "models"], folder.path());
    for name in ["register", "kv", "mutex", "zookeeper", "sessions"] {
        assert!(text(&listed.stdout).contains(name), "{name}");
    }
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ab/stub.yaml");
    let set = "cluster.config.elect=48ms";
    for (arguments, told) in [
        (&["--rounds", "3"][..], "there is one"),
        (&["--ab-set", set, "--format", "jsonl"], "one JSON object"),
        (&["--ab-set", set, "--format", "github"], "one JSON object"),
        (&["--ab-set", set, "--repeat", "2"], "cannot be used with"),
        (
            &["--ab-set", set, "--baseline", "latest"],
            "cannot be used with",
        ),
    ] {
        let output = chaos(&[&["run", plan], arguments].concat(), folder.path());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
    assert!(!folder.path().join("results").exists());
}
