//! `chaos schema`: the JSON Schemas of plans and of summary.json.

use clap::Args;
use serde_json::Value;

use super::failure::{self, Failure};
use crate::exit::Exit;
use crate::plan::plan_schema;
use crate::report::summary_schema;

/// Which schema.
#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// The schema of summary.json, not that of plans
    #[arg(long)]
    summary: bool,
}

/// Prints it.
pub(super) fn schema(arguments: &SchemaArguments) -> Result<Exit, Failure> {
    failure::output(&if arguments.summary {
        text(&summary_schema())?
    } else {
        plan_text()?
    });
    Ok(Exit::Pass)
}

/// The schema of plans as a file.
pub(super) fn plan_text() -> Result<String, Failure> {
    text(&plan_schema())
}

fn text(schema: &Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(schema);
    Ok(text.map_err(|error| Failure::of(Exit::Bug, &error))? + "\n")
}
