//! What is a path of a znode.

/// Whether `path` may name a znode: it starts with a slash, does not end with one (but for the root),
/// has no empty, `.` or `..` component, and no character that ZooKeeper refuses.
#[must_use]
pub fn is_valid_path(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    rest.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(is_refused))
}

/// The path of what a znode at this path would lie in: of the root, the root itself; `None` if that
/// cannot be said. The path need not be valid.
pub(super) fn above(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        _ if path.contains('\0') => None,
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// The path of a child. The path must be valid.
pub(super) fn child(parent: &str, name: &str) -> String {
    match parent {
        "/" => format!("/{name}"),
        _ => format!("{parent}/{name}"),
    }
}

/// Control characters, and the private and special ranges.
const fn is_refused(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_valid() {
        for path in ["/", "/a", "/a/b", "/…", "/a.b/..c", "/zookeeper/quota"] {
            assert!(is_valid_path(path), "{path}");
        }
    }

    #[test]
    fn malformed_paths_are_not() {
        for path in [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "//a",
            "/a//b",
            "/.",
            "/a/..",
            "/a\0",
            "/\u{7f}",
            "/\u{f000}",
        ] {
            assert!(!is_valid_path(path), "{path:?}");
        }
    }

    #[test]
    fn a_path_lies_in_what_stands_before_its_last_slash() {
        assert_eq!(above("/a/b"), Some("/a"));
        assert_eq!(above("/a/b/"), Some("/a/b"));
        assert_eq!(above("/a"), Some("/"));
        assert_eq!(above("/"), Some("/"));
        assert_eq!(above("a"), None);
        assert_eq!(above(""), None);
        assert_eq!(above("/a/\0"), None);
        assert_eq!(child("/", "a"), "/a");
        assert_eq!(child("/a", "b"), "/a/b");
    }
}
