//! Several operations in one request: all or nothing of writes, or reads each by itself.
//!
//! Request and answer are a row of *parts*, each behind a header `i32 type, bool done, i32 error`, and
//! end with a header that says done. A part that failed has the type −1.

use super::read::{Read, ReadKind};
use super::reply::Form;
use super::request::{CHECK, CREATE, CREATE2, DELETE, GET_CHILDREN, GET_DATA, Request, SET_DATA};
use super::stat::write_stat;
use super::write::{self, Write};
use crate::jute::{JuteError, Reader, Writer};
use crate::state::{CreateMode, ErrorCode, Outcome, TxnOp};

/// Reads a multi.
pub(super) fn parse(input: &mut Reader<'_>) -> Result<Request, JuteError> {
    let mut ops = Vec::new();
    let mut with_stat = Vec::new();
    while let Some(operation) = next_part(input)? {
        let Some(op) = write::parse_part(operation, input)? else {
            return Ok(Request::Refused(ErrorCode::Marshalling));
        };
        // Inside a multi ZooKeeper goes by the mode of a create, too.
        let is_container = matches!(
            op,
            TxnOp::Create {
                mode: CreateMode::Container,
                ..
            }
        );
        ops.push(op);
        with_stat.push(write::tells_stat(operation) || is_container);
    }
    Ok(Request::Write(Write {
        op: TxnOp::Multi { ops },
        form: Form::Multi { with_stat },
    }))
}

/// Reads a multi of reads.
pub(super) fn parse_reads(input: &mut Reader<'_>) -> Result<Request, JuteError> {
    let mut reads = Vec::new();
    while let Some(operation) = next_part(input)? {
        let kind = match operation {
            GET_DATA => ReadKind::Data,
            GET_CHILDREN => ReadKind::Children,
            _ => return Ok(Request::Refused(ErrorCode::Marshalling)),
        };
        reads.push(Read::parse(input, kind)?);
    }
    Ok(Request::MultiRead(reads))
}

/// The body that answers a multi that was done.
pub(super) fn done(outcomes: &[Outcome], with_stat: &[bool]) -> Vec<u8> {
    let mut out = Writer::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let with_stat = with_stat.get(index).copied().unwrap_or(false);
        match outcome {
            Outcome::Created { path, stat } if with_stat => {
                part(&mut out, CREATE2);
                out.text(path);
                write_stat(stat, &mut out);
            }
            Outcome::Created { path, .. } => {
                part(&mut out, CREATE);
                out.text(path);
            }
            Outcome::DataSet(stat) => {
                part(&mut out, SET_DATA);
                write_stat(stat, &mut out);
            }
            Outcome::Checked => part(&mut out, CHECK),
            Outcome::Opened
            | Outcome::Moved { .. }
            | Outcome::Closed
            | Outcome::Touched
            | Outcome::Deleted
            | Outcome::AccessSet(_)
            | Outcome::Reaped
            | Outcome::Multi(_)
            | Outcome::MultiRefused(_)
            | Outcome::Refused(_) => part(&mut out, DELETE),
        }
    }
    end(out)
}

/// The body that answers a multi of which nothing was done, with a code for each operation.
pub(super) fn refused(codes: &[i32]) -> Vec<u8> {
    let mut out = Writer::new();
    for code in codes {
        failed_part(&mut out, *code);
    }
    end(out)
}

/// The body that answers a multi of reads.
#[must_use]
pub fn multi_read_body(answers: Vec<(ReadKind, Result<Vec<u8>, ErrorCode>)>) -> Vec<u8> {
    let mut out = Writer::new();
    for (kind, answer) in answers {
        match answer {
            Ok(body) => {
                let is_data = kind == ReadKind::Data;
                part(&mut out, if is_data { GET_DATA } else { GET_CHILDREN });
                out.raw(&body);
            }
            Err(code) => failed_part(&mut out, code.code()),
        }
    }
    end(out)
}

/// The type of the next part; `None` behind the last.
fn next_part(input: &mut Reader<'_>) -> Result<Option<i32>, JuteError> {
    let operation = input.i32()?;
    let is_done = input.bool()?;
    let _error = input.i32()?;
    Ok((!is_done).then_some(operation))
}

fn part(out: &mut Writer, operation: i32) {
    out.i32(operation).bool(false).i32(0);
}

fn failed_part(out: &mut Writer, code: i32) {
    out.i32(FAILED).bool(false).i32(code).i32(code);
}

fn end(mut out: Writer) -> Vec<u8> {
    out.i32(FAILED).bool(true).i32(FAILED);
    out.into_bytes()
}

const FAILED: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{hex, parse as parse_frame};
    use crate::state::Stat;

    #[test]
    fn a_captured_multi_is_understood() {
        let frame = hex(
            "0000000e0000000e 0000000d00ffffffff 000000022f67 00000001 0000000100ffffffff 000000042f672f6d 000000016d 00000001 0000001f 00000005776f726c64 00000006616e796f6e65 00000000 0000000500ffffffff 000000022f67 000000026432 ffffffff 0000000200ffffffff 000000042f672f6d ffffffff ffffffff01ffffffff",
        );
        let (xid, request) = parse_frame(&frame).unwrap();
        let Request::Write(write) = request else {
            panic!("{request:?}");
        };
        let TxnOp::Multi { ops } = write.op else {
            panic!("{:?}", write.op);
        };
        assert_eq!((xid, ops.len()), (14, 4));
        let checked = TxnOp::Check {
            path: "/g".to_owned(),
            version: 1,
        };
        assert_eq!(ops[0], checked);
        assert!(matches!(&ops[1], TxnOp::Create { path, .. } if path == "/g/m"));
        let with_stat = vec![false; 4];
        assert_eq!(write.form, Form::Multi { with_stat });
    }

    #[test]
    fn an_operation_that_does_not_belong_there_is_refused() {
        let refused = Request::Refused(ErrorCode::Marshalling);
        // A set of an access list among writes, a write among reads, and no end.
        for frame in [
            "00000001 0000000e 0000000700ffffffff 000000022f67 00000000 ffffffff ffffffff01ffffffff",
            "00000001 00000016 0000000200ffffffff 000000022f67 ffffffff ffffffff01ffffffff",
            "00000001 0000000e 0000000200ffffffff 000000022f67 ffffffff",
        ] {
            assert_eq!(parse_frame(&hex(frame)).unwrap().1, refused, "{frame}");
        }
    }

    #[test]
    fn a_container_is_answered_with_its_stat_whatever_creates_it() {
        let part = |flags: &str| {
            let frame = format!(
                "00000001 0000000e 0000000100ffffffff 000000022f67 00000000 00000000 {flags} ffffffff01ffffffff"
            );
            match parse_frame(&hex(&frame)).unwrap().1 {
                Request::Write(write) => write.form,
                other => panic!("{other:?}"),
            }
        };
        let form = |with_stat| Form::Multi {
            with_stat: vec![with_stat],
        };
        assert_eq!(part("00000004"), form(true));
        assert_eq!(part("00000000"), form(false));
    }

    #[test]
    fn a_failed_multi_is_answered_as_captured() {
        let captured = "ffffffff00ffffff99 ffffff99 ffffffff00fffffffe fffffffe ffffffff01ffffffff";
        assert_eq!(refused(&[-103, -2]), hex(captured));
        assert_eq!(done(&[], &[]), hex("ffffffff01ffffffff"));
    }

    #[test]
    fn a_create_tells_the_stat_only_if_it_was_asked_for() {
        let created = Outcome::Created {
            path: "/a".to_owned(),
            stat: Stat::default(),
        };
        let both = [created.clone(), created];
        let body = done(&both, &[false, true]);
        let (plain, rest) = body.split_at(9 + 6);
        assert_eq!(plain, hex("000000010000000000 00000002 2f61"));
        assert_eq!(rest[..15], hex("0000000f0000000000 00000002 2f61"));
        assert_eq!(rest.len(), 15 + 68 + 9);
    }

    #[test]
    fn reads_are_answered_each_by_itself() {
        let body = multi_read_body(vec![
            (ReadKind::Data, Ok(vec![7])),
            (ReadKind::Children, Err(ErrorCode::NoNode)),
        ]);
        let expected = "000000040000000000 07 ffffffff00ffffff9b ffffff9b ffffffff01ffffffff";
        assert_eq!(body, hex(expected));
    }
}
