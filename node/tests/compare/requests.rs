//! Random requests, over few paths so that they meet.
//!
//! Not made, because ZooKeeper 3.8 has faults there that 3.9 has not, or because nobody defines the
//! answer: lifetimes out of bounds (they can kill ZooKeeper), checkWatches (3.8 finds the watches of
//! others), one-shot and persistent watches of one path on one connection (3.8 keeps only one mode),
//! create2 inside a multi (3.8 answers as for create), empty paths of reads (ZooKeeper's root), IPv6
//! addresses in access lists, TTL flags without a lifetime inside a multi.

use chaos_node::jute::Writer;

use crate::rng::Rng;

/// A request, and what its answer looks like.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) shape: Shape,
}

/// What the answer to a request looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Ping,
    Authenticate,
    SetWatches,
    /// Nothing, or what can be compared as it is.
    Plain,
    /// The same, of a write.
    Written,
    PathAndStat,
    /// The stat of a znode that was looked at.
    Stat,
    /// The stat after a write.
    NewStat,
    DataAndStat,
    Names,
    NamesAndStat,
    AccessAndStat,
    Multi,
    MultiRead,
    Users,
    Close,
    /// Not a request: the session goes to another connection.
    Move,
}

impl Shape {
    pub(crate) const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Written | Self::PathAndStat | Self::NewStat | Self::Multi
        )
    }
}

impl Request {
    pub(crate) fn ping() -> Self {
        new(11, Shape::Ping, |_| {})
    }

    pub(crate) fn close() -> Self {
        new(-11, Shape::Close, |_| {})
    }

    pub(crate) fn create(path: &str) -> Self {
        new(1, Shape::Written, |out| {
            out.text(path).buffer(b"");
            write_access(out, &[(31, "world", "anyone")]);
            out.i32(0);
        })
    }

    pub(crate) fn delete(path: &str) -> Self {
        new(2, Shape::Written, |out| {
            out.text(path).i32(-1);
        })
    }

    pub(crate) fn children(path: &str) -> Self {
        new(8, Shape::Names, |out| {
            out.text(path).bool(false);
        })
    }

    pub(crate) fn authenticate(scheme: &str, proof: &str) -> Self {
        new(100, Shape::Authenticate, |out| {
            out.i32(0).text(scheme).text(proof);
        })
    }

    /// Any request. One connection leaves one-shot watches, the other persistent ones.
    pub(crate) fn random(rng: &mut Rng, is_one_shot: bool) -> Self {
        match rng.below(100) {
            0..40 => write(rng),
            40..46 => multi(rng),
            46..50 => new(7, Shape::NewStat, |out| {
                out.text(any_path(rng));
                write_access(out, access(rng));
                out.i32(version(rng));
            }),
            50..83 => read(rng, is_one_shot),
            83..86 => multi_read(rng),
            86..88 => new(9, Shape::Plain, |out| {
                out.text(readable(rng));
            }),
            88..91 => {
                let (scheme, proof) = rng.of(&[
                    ("digest", "u:p"),
                    ("digest", "w:q"),
                    ("ip", ""),
                    ("digest", "nopass"),
                ]);
                Self::authenticate(scheme, proof)
            }
            91..98 => watches(rng, is_one_shot),
            98 => Self::close(),
            _ => new(0, Shape::Move, |_| {}),
        }
    }
}

fn new(operation: i32, shape: Shape, fill: impl FnOnce(&mut Writer)) -> Request {
    let mut out = Writer::new();
    fill(&mut out);
    Request {
        operation,
        body: out.into_bytes(),
        shape,
    }
}

fn write(rng: &mut Rng) -> Request {
    match rng.below(10) {
        0..5 => {
            let operation = rng.of(&[1, 1, 1, 15, 15, 19, 21]);
            create(rng, operation, true)
        }
        5..7 => new(2, Shape::Written, |out| {
            out.text(any_path(rng)).i32(version(rng));
        }),
        _ => new(5, Shape::NewStat, |out| {
            out.text(any_path(rng));
            write_data(out, rng);
            out.i32(version(rng));
        }),
    }
}

fn create(rng: &mut Rng, operation: i32, with_ttl_flags: bool) -> Request {
    let flags = match operation {
        19 => 4,
        21 => rng.of(&[5, 5, 6, 0, 1]),
        _ if rng.below(20) > 0 => rng.of(&[0, 0, 0, 0, 1, 1, 2, 3]),
        _ if with_ttl_flags => rng.of(&[4, 5, 6, 7, -1]),
        _ => rng.of(&[4, 7, -1]),
    };
    let mut path = any_path(rng).to_owned();
    if flags == 4 {
        // A container that has lost its children is deleted after a second here, a minute there.
        rng.of(LEAVES).clone_into(&mut path);
    }
    if matches!(flags, 2 | 3 | 6) {
        // The counter of the root depends on what was there before.
        if matches!(&path[..], "" | "/t") {
            "/t/a".clone_into(&mut path);
        }
        if rng.below(2) == 0 {
            path.push('-');
        }
    }
    let shape = if operation == 1 {
        Shape::Written
    } else {
        Shape::PathAndStat
    };
    new(operation, shape, |out| {
        out.text(&path);
        write_data(out, rng);
        write_access(out, access(rng));
        out.i32(flags);
        if operation == 21 {
            out.i64(rng.of(&[1_000_000, 5_000_000, (1 << 40) - 1]));
        }
    })
}

fn multi(rng: &mut Rng) -> Request {
    new(14, Shape::Multi, |out| {
        for _ in 0..rng.below(5) {
            let part = match rng.below(4) {
                0 => new(13, Shape::Plain, |out| {
                    out.text(any_path(rng)).i32(version(rng));
                }),
                1 => create(rng, 1, false),
                _ => match write(rng) {
                    part if matches!(part.operation, 2 | 5) => part,
                    _ => create(rng, 1, false),
                },
            };
            out.i32(part.operation).bool(false).i32(-1);
            out.raw(&part.body);
        }
        out.i32(-1).bool(true).i32(-1);
    })
}

fn read(rng: &mut Rng, is_one_shot: bool) -> Request {
    let path = readable(rng);
    let has_watch = is_one_shot && rng.below(2) == 0;
    let watching = |operation, shape| {
        new(operation, shape, |out| {
            out.text(path).bool(has_watch);
        })
    };
    let plain = |operation, shape, path: &str| {
        new(operation, shape, |out| {
            out.text(path);
        })
    };
    match rng.below(33) {
        0..7 => watching(4, Shape::DataAndStat),
        7..15 => watching(3, Shape::Stat),
        15..20 => watching(8, Shape::Names),
        20..25 => watching(12, Shape::NamesAndStat),
        25..28 => plain(6, Shape::AccessAndStat, path),
        28..30 => plain(103, Shape::Names, rng.of(&["/", "/t", "/t/a", "", "/x"])),
        30..32 => plain(104, Shape::Plain, path),
        _ => new(107, Shape::Users, |_| {}),
    }
}

fn multi_read(rng: &mut Rng) -> Request {
    new(22, Shape::MultiRead, |out| {
        for _ in 0..rng.below(3) {
            out.i32(rng.of(&[4, 8])).bool(false).i32(-1);
            out.text(readable(rng)).bool(false);
        }
        out.i32(-1).bool(true).i32(-1);
    })
}

fn watches(rng: &mut Rng, is_one_shot: bool) -> Request {
    let at = rng.index(PATHS.len());
    if !is_one_shot && rng.below(3) > 0 {
        return new(106, Shape::Plain, |out| {
            out.text(PATHS[at]).i32(at as i32 % 2);
        });
    }
    if !is_one_shot || rng.below(2) == 0 {
        let kind = if is_one_shot { rng.of(&[1, 2, 3]) } else { 3 };
        return new(18, Shape::Plain, |out| {
            out.text(PATHS[at]).i32(kind);
        });
    }
    new(101, Shape::SetWatches, |out| {
        out.i64(rng.of(&[0, 1 << 60]));
        for _ in 0..3 {
            let count = rng.index(2);
            out.count(count);
            for _ in 0..count {
                out.text(rng.of(PATHS));
            }
        }
    })
}

fn any_path(rng: &mut Rng) -> &'static str {
    if rng.below(16) == 0 {
        rng.of(ODD_PATHS)
    } else {
        rng.of(PATHS)
    }
}

fn readable(rng: &mut Rng) -> &'static str {
    match any_path(rng) {
        "" => "/t",
        path => path,
    }
}

fn version(rng: &mut Rng) -> i32 {
    rng.of(&[-1, -1, -1, 0, 1, 2, 5, -2])
}

fn access(rng: &mut Rng) -> &'static [(i32, &'static str, &'static str)] {
    if rng.below(5) > 1 {
        ACCESS[0]
    } else {
        rng.of(ACCESS)
    }
}

fn write_access(out: &mut Writer, list: &[(i32, &str, &str)]) {
    out.count(list.len());
    for (permissions, scheme, id) in list {
        out.i32(*permissions).text(scheme).text(id);
    }
}

fn write_data(out: &mut Writer, rng: &mut Rng) {
    match rng.below(4) {
        0 => out.i32(-1),
        1 => out.buffer(b""),
        2 => out.buffer(b"x"),
        _ => out.buffer(b"hello"),
    };
}

const PATHS: &[&str] = &[
    "/t", "/t/a", "/t/b", "/t/a/x", "/t/a/y", "/t/b/x", "/t/c", "/t/c/x",
];

/// Those of them that never get children.
const LEAVES: &[&str] = &["/t/a/x", "/t/a/y", "/t/b/x", "/t/c/x"];

const ODD_PATHS: &[&str] = &[
    "",
    "t",
    "/t/",
    "/t//a",
    "/t/./a",
    "/t/..",
    "/t/\u{1}",
    "/t/\u{80}",
    "/t/\u{f000}",
];

const ACCESS: &[&[(i32, &str, &str)]] = &[
    &[(31, "world", "anyone")],
    &[],
    &[(1, "world", "anyone")],
    &[(0, "world", "anyone")],
    &[(31, "auth", "")],
    &[(31, "auth", ""), (1, "world", "anyone")],
    &[(31, "digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")],
    &[
        (1, "world", "anyone"),
        (31, "digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
    ],
    &[(31, "digest", "v:x")],
    &[(31, "digest", "nocolon")],
    &[(31, "digest", "a:b:c")],
    &[(31, "ip", "127.0.0.1")],
    &[(31, "ip", "127.0.0.0/8")],
    &[(4, "world", "anyone"), (3, "ip", "127.0.0.1")],
    &[(31, "ip", "10.0.0.1")],
    &[(31, "ip", "bad")],
    &[(31, "ip", "127.0.0.1/33")],
    &[(31, "world", "foo")],
    &[(31, "world", "anyone"), (31, "world", "anyone")],
    &[(31, "nosuch", "x")],
    &[(31, "super", "")],
    &[(31, "x509", "CN=a")],
];
