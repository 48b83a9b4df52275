//! Every bundled plan is valid, without a warning, and survives being written back; the reference
//! knows every verb.

use std::path::{Path, PathBuf};

use chaos::fault::{FaultSpec, MANUALS, reference};
use chaos::plan::{Plan, VERBS};

fn bundled() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut folders = vec![root];
    let mut plans = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder exists") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                plans.push(path);
            }
        }
    }
    plans.sort();
    plans
}

/// The plan and its warnings, or a failed test with its errors as a user would see them.
fn parse(path: &str, text: &str) -> (Plan, String) {
    let parsed = Plan::parse(path, text);
    let errors = parsed.as_ref().err().map(ToString::to_string);
    assert_eq!(errors, None);
    let (plan, warnings) = parsed.expect("there are no errors");
    (plan, warnings.to_string())
}

fn read(path: &Path) -> (String, Plan) {
    let text = std::fs::read_to_string(path).expect("the plan can be read");
    let (plan, warnings) = parse(&path.display().to_string(), &text);
    assert_eq!(warnings, "");
    (text, plan)
}

#[test]
fn every_bundled_plan_is_valid_and_says_what_it_shows() {
    let plans = bundled();
    assert!(plans.len() >= 10, "found only {}", plans.len());
    for path in plans {
        let (text, plan) = read(&path);
        let file = path.display();
        let second = text.lines().nth(1).unwrap_or_default();
        assert!(
            second.starts_with("# "),
            "{file} does not say what it shows"
        );
        assert!(!plan.about.is_empty(), "{file} has no `about`");
        assert!(plan.seed.is_some(), "{file} has no seed");
        assert!(!plan.expect.is_empty(), "{file} expects nothing");
        assert!(plan.probe.is_some(), "{file} has no probes");
    }
}

#[test]
fn every_bundled_plan_reads_back_from_its_resolved_form() {
    for path in bundled() {
        let (_, plan) = read(&path);
        let resolved = plan.to_resolved_yaml();
        let (again, warnings) = parse("resolved.yaml", &resolved);
        assert_eq!(warnings, "");
        assert_eq!(again.timeline(), plan.timeline());
        assert_eq!(again.to_resolved_yaml(), resolved);
    }
}

#[test]
fn the_reference_names_every_verb_and_its_examples_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plan-reference.md");
    let text = std::fs::read_to_string(path).expect("the reference can be read");
    let steps = VERBS.iter().map(|(verb, _)| verb);
    for verb in FaultSpec::NAMES.iter().chain(steps) {
        let row = format!("\n| `{verb}` |");
        assert!(text.contains(&row), "the reference lacks `{verb}`");
    }
    let mut examples = 0;
    for block in text.split("```yaml\n").skip(1) {
        let example = block.split("```").next().unwrap_or_default();
        let (_, warnings) = parse("docs/plan-reference.md", example);
        assert_eq!(warnings, "");
        examples += 1;
    }
    assert!(examples > 0, "the reference shows a plan");
}

/// The chapter of the reference that is made from the registry: run with `CHAOS_UPDATE_DOCS=1` to
/// make it anew.
#[test]
fn the_chapter_on_faults_is_the_one_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plan-reference.md");
    let text = std::fs::read_to_string(&path).expect("the reference can be read");
    let [begin, end] =
        ["begin", "end"].map(|word| format!("<!-- {word}: made from the registry -->\n"));
    let (before, rest) = text.split_once(&begin).expect("the chapter begins");
    let (found, after) = rest.split_once(&end).expect("the chapter ends");
    let made = format!("\n{}\n", reference());
    if std::env::var_os("CHAOS_UPDATE_DOCS").is_some() {
        let text = format!("{before}{begin}{made}{end}{after}");
        std::fs::write(&path, text).expect("the reference can be written");
        return;
    }
    assert_eq!(
        found, made,
        "run `CHAOS_UPDATE_DOCS=1 cargo test --test plans` and look at it"
    );
}

#[test]
fn every_fault_has_a_manual_whose_example_is_valid() {
    let verbs: Vec<&str> = MANUALS.iter().map(|manual| manual.verb).collect();
    assert_eq!(verbs, FaultSpec::NAMES);
    for manual in MANUALS {
        let text = format!(
            "version: 1\nname: example\ncluster: {{nodes: 5}}\nsteps:\n  - {}\nexpect: [linearizable]\n",
            manual.example
        );
        let (plan, warnings) = parse("example", &text);
        assert_eq!(warnings, "");
        assert_eq!(plan.steps[0].action.verb(), manual.verb);
    }
}

#[test]
fn every_nemesis_of_jepsen_is_expressed_by_steps_that_parse() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/jepsen.md");
    let text = std::fs::read_to_string(path).expect("the table can be read");
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).collect();
    assert!(blocks.len() >= 5, "found only {}", blocks.len());
    for block in blocks {
        let steps = block.split("```").next().unwrap_or_default();
        let plan = format!(
            "version: 1\nname: jepsen\ncluster: {{nodes: 5}}\nsteps:\n{steps}expect: [linearizable]\n"
        );
        let (_, warnings) = parse("docs/jepsen.md", &plan);
        assert_eq!(warnings, "", "{steps}");
    }
}
