//! Requests to change the members of the cluster, which this node refuses: its members are those that
//! it was started with. It says why in the order in which ZooKeeper finds fault: first with what is
//! asked for, then with who asks.

use super::request::Request;
use crate::jute::{JuteError, Reader};
use crate::state::{ErrorCode, Identity};

/// A request to change the members of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconfigure {
    is_sensible: bool,
}

impl Reconfigure {
    /// Reads the body.
    pub(super) fn parse(input: &mut Reader<'_>) -> Result<Request, JuteError> {
        let joining = input.text()?;
        let leaving = input.text()?;
        let members = input.text()?;
        let _version = input.i64()?;
        let is_sensible = items(joining).chain(items(members)).all(is_server)
            && items(leaving).all(|id| id.parse::<u64>().is_ok());
        Ok(Request::Reconfigure(Self { is_sensible }))
    }

    /// Why it is refused.
    #[must_use]
    pub fn refusal(self, ids: &[Identity]) -> ErrorCode {
        if !self.is_sensible {
            ErrorCode::BadArguments
        } else if ids.iter().any(|id| id.scheme == "super") {
            ErrorCode::Unimplemented
        } else {
            ErrorCode::NoAuth
        }
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', '\n']).filter(|item| !item.is_empty())
}

/// `server.N=HOST:PORT:PORT…`
fn is_server(item: &str) -> bool {
    let parts = item.strip_prefix("server.").and_then(|item| {
        let (id, address) = item.split_once('=')?;
        let _: u64 = id.trim().parse().ok()?;
        Some(address.split(';').next()?.split(':').count())
    });
    parts.is_some_and(|count| count >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::parse;
    use crate::jute::Writer;

    fn refusal(joining: &str, leaving: &str, scheme: &str) -> ErrorCode {
        let mut out = Writer::new();
        out.i32(1).i32(16).text(joining).text(leaving).i32(-1);
        out.i64(-1);
        let (_, request) = parse(&out.into_bytes()).unwrap();
        let Request::Reconfigure(asked) = request else {
            panic!("{request:?}");
        };
        asked.refusal(&[Identity {
            scheme: scheme.to_owned(),
            id: String::new(),
        }])
    }

    #[test]
    fn a_refusal_finds_fault_with_the_request_first_and_then_with_who_asks() {
        let server = "server.999=0.0.0.0:1234:2345:observer;3456";
        assert_eq!(refusal("some thing", "", "super"), ErrorCode::BadArguments);
        assert_eq!(refusal("", "x", "super"), ErrorCode::BadArguments);
        assert_eq!(refusal("server.1=a:1", "", "ip"), ErrorCode::BadArguments);
        assert_eq!(refusal(server, "1,2", "ip"), ErrorCode::NoAuth);
        assert_eq!(refusal(server, "", "super"), ErrorCode::Unimplemented);
    }
}
