//! Requests that go through the replicated log.
//!
//! What such a request may do is decided when its transaction is applied, so nothing is refused here
//! but bytes that are not a request.

use super::reply::Form;
use super::request::{
    CHECK, CREATE, CREATE_CONTAINER, CREATE_TTL, CREATE2, DELETE, SET_ACCESS, SET_DATA,
};
use crate::jute::{JuteError, Reader};
use crate::state::{Access, CreateMode, Data, TxnOp};

/// A request that goes through the replicated log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is proposed.
    pub op: TxnOp,
    /// How it is answered.
    pub form: Form,
}

impl Write {
    /// One whose answer tells no more than it must.
    #[must_use]
    pub const fn plain(op: TxnOp) -> Self {
        Self {
            op,
            form: Form::Plain,
        }
    }
}

/// Reads the body of a write that stands alone.
pub(super) fn parse(operation: i32, input: &mut Reader<'_>) -> Result<Write, JuteError> {
    let op = match operation {
        DELETE => delete(input)?,
        SET_DATA => set_data(input)?,
        SET_ACCESS => set_access(input)?,
        _ => create(operation, input)?,
    };
    let form = if tells_stat(operation) {
        Form::WithStat
    } else {
        Form::Plain
    };
    Ok(Write { op, form })
}

/// Reads the body of a write inside a multi; `None` for what does not belong there.
pub(super) fn parse_part(
    operation: i32,
    input: &mut Reader<'_>,
) -> Result<Option<TxnOp>, JuteError> {
    Ok(Some(match operation {
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => create(operation, input)?,
        DELETE => delete(input)?,
        SET_DATA => set_data(input)?,
        CHECK => check(input)?,
        _ => return Ok(None),
    }))
}

/// Whether a create of this kind is answered with the stat.
pub(super) const fn tells_stat(operation: i32) -> bool {
    matches!(operation, CREATE2 | CREATE_CONTAINER | CREATE_TTL)
}

/// Reads an access list.
pub(super) fn access_list(input: &mut Reader<'_>) -> Result<Vec<Access>, JuteError> {
    let count = input.count()?.unwrap_or(0);
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(Access {
            permissions: input.i32()?,
            scheme: input.text()?.to_owned(),
            id: input.text()?.to_owned(),
        });
    }
    Ok(list)
}

fn create(operation: i32, input: &mut Reader<'_>) -> Result<TxnOp, JuteError> {
    let path = input.text()?.to_owned();
    let data = Data::read(input)?;
    let access = access_list(input)?;
    let flags = input.i32()?;
    let ttl_ms = if operation == CREATE_TTL {
        input.i64()?
    } else {
        NO_TTL
    };
    let (mode, sequential) = create_mode(flags, ttl_ms);
    Ok(TxnOp::Create {
        path,
        data,
        access,
        mode,
        sequential,
    })
}

/// Flags that stand for nothing, and a lifetime where the flags want none, become a lifetime that no
/// znode can have: such a create is refused with the others that make no sense, also inside a multi.
const fn create_mode(flags: i32, ttl_ms: i64) -> (CreateMode, bool) {
    match flags {
        0..=4 if ttl_ms >= 0 => (CreateMode::Ttl { ttl_ms: NO_TTL }, false),
        0 => (CreateMode::Persistent, false),
        1 => (CreateMode::Ephemeral, false),
        2 => (CreateMode::Persistent, true),
        3 => (CreateMode::Ephemeral, true),
        4 => (CreateMode::Container, false),
        5 => (CreateMode::Ttl { ttl_ms }, false),
        6 => (CreateMode::Ttl { ttl_ms }, true),
        _ => (CreateMode::Ttl { ttl_ms: NO_TTL }, false),
    }
}

fn delete(input: &mut Reader<'_>) -> Result<TxnOp, JuteError> {
    let path = input.text()?.to_owned();
    let version = input.i32()?;
    Ok(TxnOp::Delete { path, version })
}

fn set_data(input: &mut Reader<'_>) -> Result<TxnOp, JuteError> {
    let path = input.text()?.to_owned();
    let data = Data::read(input)?;
    let version = input.i32()?;
    Ok(TxnOp::SetData {
        path,
        data,
        version,
    })
}

fn set_access(input: &mut Reader<'_>) -> Result<TxnOp, JuteError> {
    let path = input.text()?.to_owned();
    let access = access_list(input)?;
    let version = input.i32()?;
    Ok(TxnOp::SetAccess {
        path,
        access,
        version,
    })
}

fn check(input: &mut Reader<'_>) -> Result<TxnOp, JuteError> {
    let path = input.text()?.to_owned();
    let version = input.i32()?;
    Ok(TxnOp::Check { path, version })
}

/// The lifetime of a request that names none.
const NO_TTL: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Request, hex, parse};
    use crate::jute::Writer;

    fn written(body: &[u8]) -> Write {
        match parse(body).unwrap().1 {
            Request::Write(write) => write,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn captured_writes_are_understood() {
        let create = hex(
            "00000002 00000001 00000002 2f67 00000002 6430 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000",
        );
        let op = TxnOp::Create {
            path: "/g".to_owned(),
            data: Data::from(b"d0"),
            access: vec![Access::open()],
            mode: CreateMode::Persistent,
            sequential: false,
        };
        assert_eq!(written(&create), Write::plain(op));
        let set = hex("00000009 00000005 00000002 2f67 00000002 6431 00000000");
        let op = TxnOp::SetData {
            path: "/g".to_owned(),
            data: Data::from(b"d1"),
            version: 0,
        };
        assert_eq!(written(&set), Write::plain(op));
        let set_access = hex(
            "0000000d 00000007 00000002 2f67 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 ffffffff",
        );
        let op = TxnOp::SetAccess {
            path: "/g".to_owned(),
            access: vec![Access::open()],
            version: -1,
        };
        assert_eq!(written(&set_access), Write::plain(op));
    }

    #[test]
    fn flags_and_operation_name_the_mode_and_the_form() {
        let create = |operation: i32, flags: i32| {
            let mut out = Writer::new();
            out.i32(1).i32(operation).text("/a").buffer(b"").count(0);
            out.i32(flags).i64(7);
            let write = written(&out.into_bytes());
            let TxnOp::Create {
                mode, sequential, ..
            } = write.op
            else {
                panic!("not a create");
            };
            (mode, sequential, write.form)
        };
        let ttl = |ttl_ms| CreateMode::Ttl { ttl_ms };
        assert_eq!(
            create(CREATE, 3),
            (CreateMode::Ephemeral, true, Form::Plain)
        );
        assert_eq!(
            create(CREATE2, 2),
            (CreateMode::Persistent, true, Form::WithStat)
        );
        assert_eq!(
            create(CREATE_CONTAINER, 4),
            (CreateMode::Container, false, Form::WithStat)
        );
        assert_eq!(create(CREATE_TTL, 6), (ttl(7), true, Form::WithStat));
        assert_eq!(create(CREATE, 5), (ttl(-1), false, Form::Plain));
        assert_eq!(create(CREATE_TTL, 9), (ttl(-1), false, Form::WithStat));
        assert_eq!(create(CREATE_TTL, 0), (ttl(-1), false, Form::WithStat));
    }
}
