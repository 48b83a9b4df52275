//! Texts that people read when a plan is wrong, or before it runs: one snapshot each.

use super::Plan;

/// A plan that is fine but for its steps.
fn with_steps(steps: &str) -> String {
    format!("version: 1\nname: wrong\ncluster: {{system: zab, nodes: 3}}\nsteps:\n{steps}")
}

/// A plan that is fine but for what is given.
fn with_keys(keys: &str) -> String {
    format!("version: 1\nname: wrong\nsteps:\n  - wait: 1s\n{keys}")
}

/// What a user sees.
fn shown(text: &str) -> String {
    match Plan::parse("wrong.yaml", text) {
        Ok((_, warnings)) if warnings.is_empty() => "it is fine".to_owned(),
        Ok((_, warnings)) => warnings.render(false),
        Err(errors) => errors.render(false),
    }
}

macro_rules! shows {
    ($($name:ident: $text:expr;)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), shown(&$text));
            }
        )*
    };
}

shows! {
    an_unknown_key_is_refused_with_the_nearest_one:
        with_steps("  - kill: {nod: leader}\n");
    an_unknown_verb_is_refused_with_the_nearest_one:
        with_steps("  - kil: {node: leader}\n");
    an_unknown_section_is_refused_with_the_nearest_one:
        with_keys("expects:\n  - linearizable\n");
    a_wrong_type_says_what_was_expected:
        with_keys("cluster: {nodes: three}\nworkload:\n  clients: [8]\n  keys: 16\nprobe: yes\n");
    a_missing_unit_says_what_to_write:
        with_steps("  - wait: 5\n  - pause: {node: leader, for: 6}\n  - drop: {between: [n1, n2], loss: 0.3, for: 5s}\n");
    a_rate_needs_its_unit:
        with_keys("workload: {rate: 800, mix: {read: 50, write: 50%}}\n");
    a_duplicate_key_shows_both_places:
        with_keys("workload:\n  clients: 8\n  timeout: 2s\n  clients: 16\n");
    two_verbs_in_one_step_are_refused:
        with_steps("  - kill: {node: leader}\n    start: {node: n1}\n");
    an_argument_beside_its_verb_is_explained:
        with_steps("  - kill: leader\n    for: 5s\n");
    a_random_step_says_what_may_be_drawn:
        with_steps("  - random:\n      for: 10s\n      every: 1s\n      at_once: 0\n      choose:\n        - do: {kill: {node: any}}\n        - do: {wait: 1s}\n        - {weight: 2}\n        - do: {pause: {node: any, for: 1s, as: it}}\n  - random: {for: 10s, every: 1s}\n");
    parallel_branches_are_lists_of_steps_without_trials:
        with_steps("  - parallel: {branches: []}\n  - parallel:\n      branches:\n        - - wait: 1s\n        - - repeat: {times: 2, name: trial, steps: [{wait: 1s}]}\n");
    a_wait_for_waits_for_one_thing_that_exists:
        with_steps("  - wait_for: {state: leader, ops: 5, timeout: 1s}\n  - wait_for: {event: {kind: activ}, timeout: 1s}\n  - wait_for: {event: {kind: active, node: n9}, timeout: 1s}\n  - wait_for: {log: {node: n1, match: ''}, timeout: 1s}\n  - wait_for: {log: {node: n1, match: x}, node: n2, timeout: 1s}\n");
    a_file_fault_names_one_change_inside_the_folder:
        with_steps("  - file: {node: n1, path: /etc/passwd, wipe: true}\n  - file: {node: n1, path: data/../../n2, wipe: true}\n  - file: {node: n1, path: data}\n  - file: {node: n1, path: data, wipe: true, truncate: -3}\n  - file: {node: n1, path: data, bitflip: 2}\n");
    a_wrong_clock_says_how_it_is_wrong:
        with_steps("  - clock: {node: n1, for: 1s}\n  - clock: {node: n1, bump: 5, for: 1s}\n  - clock: {node: n1, bump: 5s..-5s, for: 1s}\n  - clock: {node: n1, rate: 50, for: 1s}\n  - clock: {node: n1, strobe: {by: 1s, period: 0s}, for: 1s}\n");
    a_stutter_runs_part_of_the_time:
        with_steps("  - stutter: {node: n1, share: 100%, for: 1s}\n  - stutter: {node: n1, share: 20%, period: 1ms, for: 1s}\n");
    a_name_used_before_it_is_bound_shows_the_binding:
        with_steps("  - start: {node: $victim}\n  - kill: {node: leader, as: victim, for: 1s}\n");
    an_unknown_name_is_refused_with_the_nearest_one:
        with_steps("  - kill: {node: leader, as: victim}\n  - start: {node: $victm}\n  - heal: victim\n");
    a_name_of_each_ends_with_it:
        with_steps("  - each:\n      of: all\n      as: node\n      steps:\n        - restart: $node\n  - restart: $node\n");
    a_node_outside_the_cluster_is_refused:
        with_steps("  - kill: {node: n4, for: 1s}\n  - cut: {between: [n1, [n2, n9]], for: 1s}\n");
    overlapping_and_incomplete_groups_are_refused:
        with_steps("  - split: {groups: [[n1, n2], [n2, n3]], for: 5s}\n  - split: {groups: [[n1], [n2]], for: 5s}\n");
    a_shape_too_large_for_the_cluster_is_refused:
        with_steps("  - split: {into: majorities_ring, for: 5s}\n  - kill: {node: 3 of followers, for: 1s}\n");
    a_single_node_has_no_peers:
        with_keys("").replace("steps:\n  - wait: 1s", "cluster: {nodes: 1}\nsteps:\n  - isolate: {node: leader, for: 5s}\n  - cut: {from: leader, to: followers, for: 5s}\n  - kill: {node: minority, for: 1s}");
    between_does_not_go_with_from_and_to:
        with_steps("  - cut: {between: [n1, n2], from: n1, for: 5s}\n  - cut: {from: n1, for: 5s}\n  - cut: {between: [n1], for: 5s}\n");
    a_wait_for_needs_a_timeout:
        with_steps("  - wait_for: {state: steady}\n  - wait_for: steady\n");
    a_wait_for_says_for_what:
        with_steps("  - wait_for: {timeout: 5s}\n  - wait_for: {state: stedy, timeout: 5s}\n  - wait_for: {state: leader, node: n1, timeout: 5s}\n  - wait_for: {state: behind, timeout: 5s}\n");
    an_unknown_metric_is_refused_with_the_nearest_names:
        with_keys("expect:\n  - linearizable\n  - detect.frist p99 <= 1500ms\n  - outage.write max <= 5\n  - \"lost_write == 0\"\n");
    outages_need_probes:
        with_keys("probe: {ops: [read]}\nexpect:\n  - outage.write max <= 5s\n  - availability.read >= 99%\n");
    tabs_are_named:
        with_steps("  - repeat:\n\ttimes: 3\n");
    an_empty_plan_is_refused:
        "# nothing but this\n";
    a_plan_that_is_no_map_is_refused:
        "- kill: {node: leader}\n";
    an_unclosed_bracket_is_no_yaml:
        with_steps("  - kill: {node: leader\n  - wait: 5s\n");
    missing_keys_are_all_named:
        "about: nothing else\n";
    empty_steps_are_refused:
        with_keys("").replace("steps:\n  - wait: 1s", "steps: []");
    all_mistakes_are_shown_at_once:
        "version: 2\nname: a/b\ncluster: {nodes: 10, system: zap, nods: 3}\nworkload:\n  clients: 0\n  \
         rat: 5/s\n  mix: {read: 50%, write: 30%}\nprobe: {every: 0ms}\nsteps:\n  - kill: {node: ledaer}\n  \
         - waitfor: {state: steady}\n  - repeat: {times: 0, steps: [{wait: 5}]}\n  - heal: nobody\nexpect:\n  - nonsense\n";
    a_fault_left_open_is_warned_of:
        with_steps("  - isolate: {node: leader}\n  - wait: 5s\n");
    waiting_for_steady_under_a_fault_is_warned_of:
        with_steps("  - kill: {node: leader, as: victim}\n  - wait_for: {state: steady, timeout: 30s}\n  - start: $victim\n");
    an_unknown_reaction_to_violations_is_refused_with_the_nearest_one:
        with_keys("on_violation: freze\n");
    acting_on_a_violation_that_is_not_expected_is_warned_of:
        with_keys("on_violation: stop\nexpect: [converged]\n");
    what_is_not_built_yet_is_said_to_be_so:
        "version: 1\nname: later\nabort:\n  - harness_lag p99 > 50ms\n\
         cluster: {system: etcd, dir: x}\nworkload: {kind: append}\nsteps:\n  - clock: {node: any, bump: 5s}\n  \
         - power_off: {node: leader, lose_unsynced: true, for: 1s}\n  - drop: {between: [n1, n2], loss: 5%, burst: 3, for: 1s}\n  \
         - pause: {node: leader, until: steady}\n  - wait_for: {event: {kind: elected}, timeout: 5s}\n";
    clients_speak_no_frames:
        with_steps("  - drop: {between: [clients, leader], loss: 10%, for: 5s}\n");
    packets_are_no_streams_and_streams_no_packets:
        with_steps("  - drop: {between: [n1, n2], loss: 5%, layer: packet, for: 1s}\n");
    an_unknown_network_is_refused:
        with_keys("network: packets\n");
    what_only_a_proxy_can_do_is_refused_between_namespaces:
        with_keys("network: packet\n").replace("steps:\n", "steps:\n  - drop: {between: [n1, n2], loss: 5%, layer: stall, for: 1s}\n  \
         - corrupt: {between: [n1, n2], share: 1%, for: 1s}\n  - reset: {between: [n1, n2]}\n  - half_open: {from: n1, to: n2}\n");
    calls_and_commands_say_what_and_until_has_a_limit:
        with_steps("  - call: {node: any, do: snapshoot}\n  - call: {node: any}\n  - exec: ''\n  - exec: {comand: ls}\n  \
         - isolate: {node: leader, until: leader}\n  - isolate: {node: leader, until: steady, for: 1s}\n  \
         - reset: {between: [n1, n2], for: 1s}\n  - random: {for: 5s, every: 1s, choose: [{do: {kill: {node: any, for: 1s, until: served}}}]}\n");
    a_trial_inside_a_trial_is_refused:
        with_steps("  - repeat:\n      times: 2\n      name: outer\n      steps:\n        - repeat: {times: 2, name: inner, steps: [{wait: 1s}]}\n");
    durations_come_in_few_shapes:
        with_steps("  - wait: 5x\n  - wait: 9s..2s\n  - wait: {expo: 5s}\n  - wait: {normal: {mean: 5s}}\n  - wait: {one_of: []}\n  - wait: -5s\n  - wait:\n");
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let huge = format!("# {}\n", "x".repeat(1 << 20));
    insta::assert_snapshot!("a_huge_file_is_refused", shown(&huge));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    insta::assert_snapshot!("an_alias_bomb_is_refused", shown(&bomb));
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!("version: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    insta::assert_snapshot!("deep_nesting_is_refused", shown(&deep));
    let mut steps = "[{wait: 1s}]".to_owned();
    for _ in 0..9 {
        steps = format!("[{{repeat: {{times: 1, steps: {steps}}}}}]");
    }
    let text = format!("version: 1\nname: deep\nsteps: {steps}\n");
    insta::assert_snapshot!("deep_steps_are_refused", shown(&text));
}

const FULL: &str = r#"version: 1
name: full
about: "Everything: once"
cluster: {nodes: 5, config: {tick: 500, bug: none}, restart: on_crash, node_bin: ./old}
workload: {reads: local, clients: 3, rate: 99.5/s, mix: {read: 100%}, pin: leader, timeout: 1500ms}
probe: {every: 20ms, ops: [write]}
on_violation: freeze
steps:
  - mark: "begin: now"
  - repeat:
      for: 1m
      steps:
        - pause: {node: any, for: {exp: 2s}, as: sleeper}
        - wait: {normal: {mean: 1s, sd: 200ms}}
  - repeat:
      times: 4
      name: trial
      steps:
        - terminate: leader
        - start: all
        - drop: {from: [n1, leader], to: $sleeper, loss: 5%..60%, layer: stall, as: lossy}
        - delay: {between: [any, any other], by: 50ms, jitter: 20ms, for: 1s..2s}
        - heal: lossy
        - split: {into: bridge, for: {one_of: [1s, 5s]}}
        - wait_for: {state: behind, node: n5, by: 100, timeout: 5s, else: skip}
        - wait_for: {ops: 1000, timeout: 5s, else: go_on}
  - each: {of: followers, order: random, as: it, steps: [{restart: {node: $it, grace: 3s}}]}
  - isolate: {node: minority, clients: true}
  - cut: {from: clients, to: all}
  - heal: all
expect: [linearizable, recovered, "latency.all p99 <= 1s"]
"#;

#[test]
fn the_timeline_reads_as_sentences() {
    let (plan, warnings) = Plan::parse("full.yaml", FULL).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    insta::assert_snapshot!("timeline", plan.timeline());
}

#[test]
fn the_resolved_plan_is_the_same_plan() {
    let (plan, _) = Plan::parse("full.yaml", FULL).unwrap();
    let resolved = plan.to_resolved_yaml();
    insta::assert_snapshot!("resolved", resolved);
    let (again, _) = Plan::parse("resolved.yaml", &resolved).unwrap();
    assert_eq!(again.to_resolved_yaml(), resolved);
    assert_eq!(again.cluster, plan.cluster);
    assert_eq!(again.workload, plan.workload);
    assert_eq!(again.on_violation, plan.on_violation);
    assert_eq!(again.probe, plan.probe);
    assert_eq!(again.timeline(), plan.timeline());
}

#[test]
fn a_node_that_ends_by_itself_is_started_again_as_the_plan_says() {
    use super::RestartPolicy::{Always, Never, OnCrash};
    use crate::history::ExitStatus::{Code, Signal};
    let ends = [Code(0), Code(1), Signal(6)];
    for (word, policy, started) in [
        ("never", Never, [false; 3]),
        ("on_crash", OnCrash, [false, true, true]),
        ("always", Always, [true; 3]),
    ] {
        let text = FULL.replace("restart: on_crash", &format!("restart: {word}"));
        let (plan, _) = Plan::parse("full.yaml", &text).unwrap();
        assert_eq!(plan.cluster.restart, policy);
        assert!(
            plan.to_resolved_yaml()
                .contains(&format!("restart: {word}"))
        );
        assert_eq!(ends.map(|end| policy.covers(end)), started);
    }
}

#[test]
fn steps_know_their_path_and_line() {
    let (plan, _) = Plan::parse("full.yaml", FULL).unwrap();
    let wait = &plan.steps[1].action.inner()[1];
    assert_eq!(
        (wait.path.as_str(), wait.line),
        ("steps[1].repeat.steps[1]", 14)
    );
}

#[test]
fn trials_count_and_override_the_named_repeats() {
    let (mut plan, _) = Plan::parse("full.yaml", FULL).unwrap();
    assert_eq!(plan.trials(), 4);
    assert!(plan.set_trials(7));
    assert_eq!(plan.trials(), 7);
    assert!(plan.timeline().contains("for 1m"), "the unnamed one stays");
    let (mut plain, _) = Plan::parse("plain.yaml", &with_keys("")).unwrap();
    assert!(!plain.set_trials(7));
}

proptest::proptest! {
    /// Whatever a plan looks like, it is read or refused with a text, and what is read is written
    /// back and read again.
    #[test]
    fn no_text_makes_the_parser_fall_over(
        edits in proptest::collection::vec((0..2_000_usize, 0..9_u8, "[]{}:,'\"&*!|>#$% \t\n5aµ-]"), 1..6)
    ) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (at, kind, insert) in edits {
            let at = at % text.len().max(1);
            match kind {
                0 => text.truncate(at),
                1..=4 if at < text.len() => drop(text.remove(at)),
                _ => text.insert(at, insert.chars().next().unwrap_or(' ')),
            }
        }
        let text: String = text.into_iter().collect();
        match Plan::parse("edited.yaml", &text) {
            Err(errors) => proptest::prop_assert!(errors.render(true).contains("error")),
            Ok((plan, _)) => {
                let resolved = plan.to_resolved_yaml();
                let again = Plan::parse("resolved.yaml", &resolved);
                let errors = again.as_ref().err().map(ToString::to_string);
                proptest::prop_assert_eq!(errors, None, "{}", resolved);
                proptest::prop_assert_eq!(again.unwrap().0.timeline(), plan.timeline());
            }
        }
    }
}
