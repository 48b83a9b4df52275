//! Examples at the end of every `--help` and manual page. Each is parsed by a test.

use clap::Command;

/// By subcommand (the first is `chaos` itself): command lines, each with what it does.
pub(super) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("chaos new my-plan", "a plan to start from"),
            ("chaos run my-plan.yaml", "run it and judge what happened"),
            ("chaos report latest", "the result of the newest run again"),
            ("chaos doctor", "what this machine allows"),
        ],
    ),
    (
        "run",
        &[
            (
                "chaos run plans/kill-leader.yaml --trials 3",
                "three trials instead of the plan's",
            ),
            (
                "chaos run plans --out results/nightly --format github",
                "all plans of a folder, in CI",
            ),
            (
                "chaos run plans/kill-leader.yaml --dry-run",
                "only show what would be done",
            ),
            (
                "chaos run plans/kill-leader.yaml --seed 7 --keep always",
                "the same decisions; keep all data",
            ),
        ],
    ),
    (
        "check",
        &[
            ("chaos check latest", "judge the newest run again"),
            (
                "chaos check history.edn --model register",
                "a history that Jepsen recorded",
            ),
            (
                "chaos check h.jsonl --export jepsen-log:bad.log",
                "write the counterexample",
            ),
        ],
    ),
    (
        "report",
        &[
            ("chaos report", "the newest run"),
            ("chaos report latest --format json", "its summary.json"),
            (
                "chaos report 20261124T013813Z-kill-leader-938f --out results/nightly",
                "one of many",
            ),
        ],
    ),
    (
        "compare",
        &[
            (
                "chaos compare results/baseline/kill-leader.json latest",
                "the newest run beside a baseline",
            ),
            (
                "chaos compare latest RUN --fail-on-regression 10%",
                "for CI: exit code 4 if it is slower",
            ),
        ],
    ),
    (
        "baseline",
        &[
            (
                "chaos baseline latest",
                "keep the samples of the newest run",
            ),
            (
                "chaos baseline latest RUN --to before.json",
                "of two runs, in a file of your own",
            ),
        ],
    ),
    (
        "validate",
        &[
            (
                "chaos validate my-plan.yaml",
                "all mistakes of a plan, with their places",
            ),
            (
                "chaos validate plans plans/nightly",
                "all plans of two folders",
            ),
        ],
    ),
    (
        "bench",
        &[
            (
                "chaos bench --clients 1,16 --seconds 3",
                "short, with two numbers of clients",
            ),
            (
                "chaos bench --writes 1000000",
                "does the cost of a write grow?",
            ),
        ],
    ),
    (
        "proxy",
        &[
            (
                "chaos proxy --listen 127.0.0.1:7000 --upstream 127.0.0.1:6379",
                "relay, with nothing wrong yet",
            ),
            (
                "chaos proxy --listen 127.0.0.1:7000 --upstream 127.0.0.1:6379 --api 127.0.0.1:7001",
                "rules over HTTP",
            ),
        ],
    ),
    (
        "doctor",
        &[
            (
                "chaos doctor",
                "a table of mechanisms, and what each enables",
            ),
            ("chaos doctor --format json", "the same for programs"),
        ],
    ),
    (
        "heal",
        &[
            ("chaos heal", "after a harness that was killed"),
            (
                "chaos heal --out results/nightly",
                "its results are elsewhere",
            ),
        ],
    ),
    (
        "list",
        &[
            ("chaos list faults", "every fault in a line"),
            ("chaos list metrics", "what `expect` can name"),
            (
                "chaos list runs --out results/nightly",
                "runs with their verdicts, newest first",
            ),
            ("chaos list runs --format json", "the same for programs"),
        ],
    ),
    (
        "new",
        &[
            ("chaos new my-plan", "writes my-plan.yaml"),
            (
                "chaos new my-plan --schema",
                "and chaos.schema.json for editors",
            ),
            ("chaos new -", "prints it"),
        ],
    ),
    (
        "schema",
        &[
            (
                "chaos schema > chaos.schema.json",
                "for editors: see the first line of `chaos new -`",
            ),
            (
                "chaos schema --summary",
                "for programs that read summary.json",
            ),
        ],
    ),
    (
        "completions",
        &[
            (
                "chaos completions bash > ~/.local/share/bash-completion/completions/chaos",
                "bash",
            ),
            (
                "chaos completions fish > ~/.config/fish/completions/chaos.fish",
                "fish",
            ),
            (
                "chaos completions zsh > ~/.zfunc/_chaos",
                "zsh, with `fpath+=~/.zfunc`",
            ),
        ],
    ),
    (
        "man",
        &[
            ("chaos man > chaos.1", "the page of chaos itself"),
            (
                "chaos man ~/.local/share/man/man1",
                "the pages of all commands",
            ),
        ],
    ),
];

/// With the examples at the end of each help.
pub(super) fn with_examples(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (name, examples)| {
        let add = |command: Command| {
            let before = command.get_after_help().map(ToString::to_string);
            let before = before.map_or_else(String::new, |text| text + "\n\n");
            command.after_help(format!("{before}{}", text(examples)))
        };
        if name.is_empty() {
            add(command)
        } else if command.find_subcommand(name).is_some() {
            command.mut_subcommand(name, add)
        } else {
            command
        }
    })
}

fn text(examples: &[(&str, &str)]) -> String {
    let width = examples.iter().map(|(line, _)| line.chars().count());
    let width = width.filter(|width| *width <= WIDE).max().unwrap_or(0);
    let mut text = "Examples:".to_owned();
    for (line, what) in examples {
        text += &format!("\n  {line:<width$}  # {what}");
    }
    text
}

/// A longer line moves its own comment and no other.
const WIDE: usize = 56;

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::command;

    fn words(line: &str) -> Vec<OsString> {
        let line = line.split(" > ").next().unwrap();
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_command_has_two_to_four_examples_that_parse() {
        for (name, examples) in EXAMPLES {
            assert!((2..=4).contains(&examples.len()), "{name}");
            for (line, _) in *examples {
                let parsed = command().try_get_matches_from(words(line));
                let refused = parsed.as_ref().err().map(ToString::to_string);
                assert_eq!(refused, None, "{line}");
                let used = parsed.unwrap();
                assert!(
                    name.is_empty() || used.subcommand_name() == Some(name),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn every_help_ends_with_examples() {
        let mut chaos = command();
        chaos.build();
        let names: Vec<String> = chaos
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .filter(|name| name != "help")
            .collect();
        assert!(names.len() >= 13, "{names:?}");
        for name in names {
            let one = chaos.find_subcommand_mut(&name).unwrap();
            let help = one.render_long_help().to_string();
            assert!(help.contains("Examples:\n  chaos "), "{name}: {help}");
        }
    }

    #[test]
    fn the_help_of_chaos() {
        insta::assert_snapshot!(command().render_long_help().to_string());
    }

    #[test]
    fn the_help_of_run() {
        let mut chaos = command();
        chaos.build();
        let run = chaos.find_subcommand_mut("run").unwrap();
        insta::assert_snapshot!(run.render_long_help().to_string());
    }
}
