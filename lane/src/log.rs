//! Log lines, the same at both ends of a job.
//!
//! What concerns one guest has the target [`CALL`] and is written as it is, in
//! the manner of strace; other lines name their level and target.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Target of the lines that tell a guest's calls, programs and ends.
pub const CALL: &str = "call";

/// Writes log lines that match `filter` (as of [`EnvFilter`]) to standard
/// error; without a filter, none. To be called once, before anything is logged.
pub fn start(filter: Option<&str>) {
    let Some(filter) = filter else { return };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(std::io::stderr)
        // Whoever reads them may end first: telling that on standard error, too, is a panic.
        .log_internal_errors(false)
        .event_format(Line)
        .init();
}

struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        if target != CALL || level == Level::WARN || level == Level::ERROR {
            write!(to, "{level} {target}: ")?;
        }
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
