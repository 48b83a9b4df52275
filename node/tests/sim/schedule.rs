//! Random schedules: a while of load and faults. All of a schedule follows from its seed.
//!
//! Half of the faults come alone, half in *patterns*: short sequences that bring several faults
//! together where protocols break, such as a crash of the leader with entries that only it has,
//! followed by the return of a node with an old log.

use chaos_node::bug::Bugs;

use super::action::{Action, Point, Step, Strike, Trap, Way, Who, Word};
use super::net::Rule;
use super::rng::Rng;
use super::world::{MILLI, Settings};

/// What a seed stands for.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    /// From which all chance follows that is not in the steps: how long messages and disks take.
    pub(crate) chance: u64,
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
}

/// Which faults a run may have.
#[derive(Debug, Clone, Copy)]
struct Menu {
    crashes: bool,
    links: bool,
    pauses: bool,
    slow_disks: bool,
}

/// Writes the steps of a schedule down.
struct Author {
    rng: Rng,
    nodes: usize,
    menu: Menu,
    /// The longest pause between two steps of the load.
    pace: u64,
    now: u64,
    steps: Vec<Step>,
}

impl Schedule {
    /// The schedule of a seed.
    pub(crate) fn of(seed: u64, bugs: Bugs) -> Self {
        let mut rng = Rng::stream(seed, 0x5eed);
        let settings = Settings {
            nodes: if rng.chance(700_000) { 3 } else { 5 },
            keep_entries: [0, 3, 20, 5000][rng.index(4)],
            linear_reads: rng.chance(300_000),
            bugs,
        };
        let menu = Menu {
            crashes: rng.chance(800_000),
            links: rng.chance(700_000),
            pauses: rng.chance(400_000),
            slow_disks: rng.chance(300_000),
        };
        let mut author = Author {
            pace: rng.between(1, 12) * MILLI,
            now: rng.between(0, 120) * MILLI,
            nodes: settings.nodes,
            menu,
            rng,
            steps: Vec::new(),
        };
        author.write();
        let mut steps = author.steps;
        steps.sort_by_key(|step| step.at);
        Self {
            seed,
            chance: seed,
            settings,
            steps,
        }
    }
}

impl Author {
    fn write(&mut self) {
        if self.rng.chance(300_000) {
            let longest = self.rng.between(1, 30) * MILLI;
            self.add(0, Action::Slow(longest));
            if self.rng.chance(500_000) {
                let calm = self.rng.between(100, 800) * MILLI;
                self.add(calm, Action::Slow(0));
            }
        }
        if self.menu.slow_disks {
            for node in 0..self.nodes {
                let worst = self.rng.between(2, 700) * MILLI;
                self.add(0, Action::SlowDisk(Who::Node(node), worst));
            }
        }
        let until = self.now + self.rng.between(300, 1500) * MILLI;
        let mut next_fault = self.now + self.rng.between(1, 100) * MILLI;
        while self.now < until {
            self.load();
            if self.now >= next_fault {
                if self.rng.chance(200_000) {
                    self.pattern();
                } else {
                    self.fault();
                }
                // Often in quick succession: protocols break when faults meet.
                let worst = [5, 15, 60, 200][self.rng.index(4)];
                next_fault = self.now + self.rng.between(1, worst) * MILLI;
            }
            self.now += self.rng.between(1, self.pace);
        }
    }

    /// Something to do for the cluster.
    fn load(&mut self) {
        let (writes, node) = (self.rng.below(4), self.any());
        if writes > 0 {
            self.add(0, Action::Write(node, writes));
        }
        if self.rng.chance(300_000) {
            let node = self.any();
            self.add(0, Action::Read(node));
        }
        for _ in 0..self.rng.below(4) {
            let client = self.rng.index(self.nodes + 1);
            self.add(0, Action::Client(client));
        }
        if self.rng.chance(30_000) {
            let node = self.any();
            self.add(0, Action::Compact(node));
        }
    }

    fn fault(&mut self) {
        let (victim, some) = (self.victim(), self.any());
        let Menu {
            crashes,
            links,
            pauses,
            slow_disks,
        } = self.menu;
        let action = match self.rng.below(22) {
            0..=1 if crashes => Action::Crash(victim),
            2 if crashes => {
                let all = self.nodes as u64;
                Action::CrashSome(victim, self.rng.between(all / 2 + 1, all) as usize)
            }
            3..=5 if crashes => Action::Trap(victim, self.trap()),
            6..=8 => Action::Start(some),
            9 => Action::StartAll,
            10 if pauses => Action::Pause(victim),
            11 => Action::Resume(some),
            12 => Action::ResumeAll,
            13 if pauses => Action::Leap(victim, self.rng.between(10, 3000) * MILLI),
            14 if links => {
                let rule = self.rule();
                Action::Link(victim, some, rule, self.rng.chance(500_000))
            }
            15 if links => Action::Isolate(victim, self.way()),
            16 if links => Action::Weather(Rule::Lose(300_000)),
            17..=18 => Action::Heal,
            19 if links => Action::Break(victim, some),
            20 if links => Action::Ghost(some, victim),
            21 if slow_disks => Action::StickDisk(victim, self.rng.between(1, 900) * MILLI),
            _ => return,
        };
        self.add(0, action);
    }

    fn pattern(&mut self) {
        let Menu {
            crashes,
            links,
            pauses,
            ..
        } = self.menu;
        match self.rng.below(12) {
            0 if crashes && links => self.tail_of_a_leader(),
            1 if crashes => self.old_log_returns(),
            2 if crashes => self.power_cut(),
            3 if crashes => self.crash_in_sync(),
            4 if links => self.churn(),
            5 if links => self.outsider(),
            6 if pauses => self.sleeping_leader(),
            7 if links => self.deaf_leader(),
            8..=9 if crashes => self.slow_sync(),
            10..=11 if links => self.tired_leader(),
            _ => self.fault(),
        }
    }

    /// A leader proposes what nobody else gets, ends, and comes back later.
    fn tail_of_a_leader(&mut self) {
        let leader = self.leader();
        let way = self.way();
        self.add(0, Action::Isolate(leader, way));
        let count = self.rng.between(1, 5);
        self.later(3);
        self.add(0, Action::Write(leader, count));
        self.later(4);
        self.add(0, Action::Crash(leader));
        self.later(2);
        self.add(0, Action::Heal);
        self.later(250);
        self.add(0, Action::StartAll);
    }

    /// A node misses a while; when it returns, those who know better are gone.
    fn old_log_returns(&mut self) {
        let node = self.rng.index(self.nodes);
        self.add(0, Action::Crash(Who::Node(node)));
        for _ in 0..self.rng.between(1, 4) {
            self.later(40);
            self.load();
        }
        let quorum = self.nodes / 2 + 1;
        let others = Who::Node((node + 1) % self.nodes);
        let gone = self.rng.between(1, quorum as u64) as usize;
        self.add(0, Action::CrashSome(others, gone));
        self.later(5);
        self.add(0, Action::Start(Who::Node(node)));
        for _ in 0..2 {
            self.later(20);
            let some = self.any();
            self.add(0, Action::Start(some));
        }
        self.later(100);
        self.add(0, Action::StartAll);
    }

    /// All nodes end at once and return one by one.
    fn power_cut(&mut self) {
        let count = self.rng.between(1, 6);
        let victim = self.victim();
        self.add(0, Action::Write(victim, count));
        self.now += self.rng.below(MILLI);
        self.add(0, Action::CrashSome(Who::Node(0), self.nodes));
        for _ in 0..self.nodes {
            self.later(30);
            let some = self.any();
            self.add(0, Action::Start(some));
        }
        self.later(60);
        self.add(0, Action::StartAll);
    }

    /// A node returns and ends in the midst of being brought up to date, perhaps with others.
    fn crash_in_sync(&mut self) {
        let node = Who::Follower(self.rng.index(self.nodes));
        self.add(0, Action::Crash(node));
        for _ in 0..self.rng.between(1, 4) {
            self.later(30);
            self.load();
        }
        self.add(0, Action::Start(node));
        let word = [
            Word::AckEpoch,
            Word::AckNewLeader,
            Word::AckNewLeader,
            Word::Ack,
        ];
        let trap = Trap {
            point: if self.rng.chance(400_000) {
                self.disk_point()
            } else {
                Point::Say(word[self.rng.index(4)])
            },
            nth: self.rng.between(1, 3),
            after: self.rng.chance(500_000),
            strike: self.strike(),
        };
        self.add(0, Action::Trap(node, trap));
        self.later(10);
        self.load();
        self.later(60);
        let some = self.any();
        self.add(0, Action::Start(some));
        self.later(30);
        self.add(0, Action::StartAll);
    }

    /// A disk is slow while its node is brought up to date; then the power fails, and those who
    /// know better return late.
    fn slow_sync(&mut self) {
        let node = self.rng.index(self.nodes);
        let (follower, leader) = (Who::Follower(node), self.leader());
        if self.rng.chance(500_000) {
            self.add(0, Action::Crash(follower));
        }
        for _ in 0..self.rng.between(1, 3) {
            self.later(20);
            self.load();
        }
        if self.rng.chance(500_000) {
            // What it proposes from now on is its own alone.
            self.add(0, Action::Isolate(leader, Way::Both));
            let count = self.rng.between(1, 3);
            self.add(0, Action::Write(leader, count));
            self.later(3);
            self.add(0, Action::CrashSome(Who::Node(0), self.nodes));
            self.add(0, Action::Heal);
            self.later(5);
            self.add(0, Action::Start(leader));
        }
        let length = self.rng.between(1, 40) * MILLI;
        self.add(0, Action::Start(follower));
        self.add(0, Action::StickDisk(follower, length));
        self.later(length / MILLI + 10);
        if self.rng.chance(500_000) {
            self.load();
            self.later(4);
        }
        self.add(0, Action::CrashSome(Who::Node(0), self.nodes));
        self.later(20);
        for offset in 0..self.nodes.div_ceil(2) {
            let some = (node + offset) % self.nodes;
            self.add(0, Action::Start(Who::Node(some)));
        }
        self.later(150);
        self.add(0, Action::StartAll);
    }

    /// A leader gives up for its disk while all connections live, and much is still under way when
    /// the next one, perhaps itself, is elected.
    fn tired_leader(&mut self) {
        let leader = self.leader();
        let (longest, length) = (self.rng.between(2, 40), self.rng.between(510, 700));
        self.add(0, Action::Slow(longest * MILLI));
        if self.rng.chance(700_000) {
            // What is sent again may arrive long after its time.
            let lost = self.rng.between(200_000, 450_000);
            self.add(0, Action::Weather(Rule::Lose(lost)));
        }
        self.later(50);
        self.add(0, Action::StickDisk(leader, length * MILLI));
        for _ in 0..self.rng.between(2, 8) {
            self.later(90);
            self.load();
            if self.rng.chance(300_000) {
                let other = self.any();
                self.add(0, Action::StickDisk(other, length * MILLI));
            }
        }
        self.later(300);
        self.add(0, Action::Slow(0));
        self.add(0, Action::Heal);
    }

    /// Links among the nodes come and go for a while: elections run into each other.
    fn churn(&mut self) {
        for _ in 0..self.rng.between(3, 12) {
            let (one, two) = (self.any(), self.any());
            let action = match self.rng.below(4) {
                0 => Action::Break(one, two),
                1 => Action::Heal,
                2 => Action::Ghost(one, two),
                _ => Action::Link(one, two, Rule::Cut, true),
            };
            self.add(0, action);
            self.later(12);
        }
        if self.rng.chance(500_000) {
            self.add(0, Action::Heal);
        }
    }

    /// One follower loses its leader alone, again and again, while all others are well.
    fn outsider(&mut self) {
        self.add(0, Action::ResumeAll);
        self.add(0, Action::StartAll);
        self.add(0, Action::Heal);
        self.add(0, Action::Slow(0));
        self.now += self.rng.between(900, 1300) * MILLI;
        let node = Who::Follower(self.rng.index(self.nodes));
        let leader = self.leader();
        for _ in 0..self.rng.between(1, 3) {
            match self.rng.below(3) {
                0 => self.add(0, Action::Link(node, leader, Rule::Cut, true)),
                1 => self.add(0, Action::Isolate(node, Way::Both)),
                _ => self.add(0, Action::Crash(node)),
            }
            self.now += self.rng.between(100, 500) * MILLI;
            self.add(0, Action::Heal);
            self.add(0, Action::Start(node));
            self.later(100);
        }
    }

    /// A leader stops, others go on without it, and a client asks it when it runs again.
    fn sleeping_leader(&mut self) {
        let node = self.rng.index(self.nodes);
        self.add(0, Action::Pause(Who::Leader(node)));
        for _ in 0..self.rng.between(3, 8) {
            self.later(80);
            let (some, count) = (self.any(), self.rng.between(1, 3));
            self.add(0, Action::Write(some, count));
        }
        // By now another one leads, so ask all.
        for node in 0..self.nodes {
            self.add(0, Action::Read(Who::Node(node)));
        }
        self.later(10);
        self.add(0, Action::ResumeAll);
        self.later(1);
        for node in 0..self.nodes {
            self.add(0, Action::Read(Who::Node(node)));
        }
    }

    /// A leader that hears nobody, or is not heard, is asked while another takes over.
    fn deaf_leader(&mut self) {
        let (leader, way) = (self.leader(), self.way());
        self.add(0, Action::Isolate(leader, way));
        for _ in 0..self.rng.between(6, 20) {
            self.later(20);
            for node in 0..self.nodes {
                self.add(0, Action::Write(Who::Node(node), 1));
                self.add(0, Action::Read(Who::Node(node)));
            }
        }
        self.add(0, Action::Heal);
    }

    fn trap(&mut self) -> Trap {
        const WORDS: [Word; 10] = [
            Word::NewEpoch,
            Word::AckEpoch,
            Word::Truncate,
            Word::SyncEntries,
            Word::NewLeader,
            Word::AckNewLeader,
            Word::UpToDate,
            Word::Proposal,
            Word::Ack,
            Word::Commit,
        ];
        let point = match self.rng.below(4) {
            0 => Point::Output,
            1 => self.disk_point(),
            _ => Point::Say(WORDS[self.rng.index(WORDS.len())]),
        };
        let worst = [1, 4, 30][self.rng.index(3)];
        Trap {
            point,
            nth: self.rng.between(1, worst),
            after: self.rng.chance(500_000),
            strike: self.strike(),
        }
    }

    fn disk_point(&mut self) -> Point {
        if self.rng.chance(500_000) {
            Point::Issue
        } else {
            Point::Written
        }
    }

    fn strike(&mut self) -> Strike {
        match self.rng.below(6) {
            0 => Strike::PowerCut,
            1 => Strike::CrashLeader,
            2 if self.menu.links => Strike::Isolate,
            _ => Strike::Crash,
        }
    }

    fn rule(&mut self) -> Rule {
        match self.rng.below(4) {
            0 => Rule::Lose(self.rng.between(50_000, 600_000)),
            1 => Rule::Delay(self.rng.between(1, 150) * MILLI),
            _ => Rule::Cut,
        }
    }

    fn way(&mut self) -> Way {
        [Way::Both, Way::Sends, Way::Hears][self.rng.index(3)]
    }

    fn any(&mut self) -> Who {
        Who::Node(self.rng.index(self.nodes))
    }

    fn leader(&mut self) -> Who {
        Who::Leader(self.rng.index(self.nodes))
    }

    /// The leader is where faults matter most.
    fn victim(&mut self) -> Who {
        let node = self.rng.index(self.nodes);
        if self.rng.chance(400_000) {
            Who::Leader(node)
        } else {
            Who::Node(node)
        }
    }

    /// Lets up to so many milliseconds pass.
    fn later(&mut self, millis: u64) {
        self.now += self.rng.below(millis * MILLI);
    }

    fn add(&mut self, delay: u64, action: Action) {
        self.steps.push(Step {
            at: self.now + delay,
            action,
        });
    }
}
