//! The runtime: the process on the host that supervises the guests of one job.
//!
//! | file | concept |
//! |---|---|
//! | `host.rs` | what all threads share: guests, lanes, orders to the tracer |
//! | `guest.rs` | a guest's processes and threads as the host knows them |
//! | `link.rs` | the host's end of a lane: requests and their answers |
//! | `memory.rs` | a guest's memory |
//! | `inspect.rs` | what home asks about bodies |
//! | `pager.rs` | pages of a body that come when it runs already |
//! | `pool.rs` | threads that hear of forwarded calls |
//! | `forward.rs` | the hot path: one call, from notification to answer |
//! | `guesses.rs`, `guesses/` | calls that will probably be made next, and what home has answered to them |
//! | `readahead.rs`, `readahead/` | reads of what home has sent before it was asked |
//! | `observe.rs` | calls as the user may look at them: log and statistics |
//! | `stats.rs` | what a process's calls cost |
//! | `special/` | calls with a handler of their own, one file each |
//! | `signals.rs` | signals from home into the body |
//! | `helpers.rs` | threads that wait at home on the tracer's behalf |
//! | `births.rs` | the clone family at the body's end |
//! | `tracer.rs` | the one thread that traces the bodies |
//! | `tracer/births.rs` | the clone family: home forks first, then the body |
//! | `tracer/delivering.rs` | signals on their way into bodies |
//! | `tracer/leaving.rs` | bodies on their way home |

mod births;
mod forward;
mod guesses;
mod guest;
mod helpers;
mod home_rows;
mod host;
mod inspect;
mod link;
mod memory;
mod observe;
mod pager;
mod pool;
mod readahead;
mod signals;
mod socket_limit;
mod special;
mod stats;
mod tracer;

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context;
use lane::setup::RuntimeSetup;
use sys::process::Ids;

/// Uid and gid of bodies where the runtime is root: nobody, nogroup.
const NOBODY: Ids = Ids {
    uid: 65534,
    gid: 65534,
};

/// Serves one job's guests on this node, from the setup on standard input
/// until home is gone or says so.
///
/// # Errors
/// Before the first guest: what this node lacks, in words for the user.
pub fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("read the setup; a home proxy starts this program")?;
    let setup: RuntimeSetup = serde_json::from_str(&line).context("the setup is not understood")?;
    lane::log::start(setup.log.as_deref());
    sys::features::check(sys::features::Where::Host).map_err(anyhow::Error::msg)?;
    sys::processor::suffices(&setup.processor, &sys::processor::features())
        .map_err(anyhow::Error::msg)?;
    let bell = sys::ready::Bell::new().context("prepare to wait for processes")?;
    let inside = Ids {
        uid: setup.uid,
        gid: setup.gid,
    };
    let own = sys::process::ids();
    let outside = if own.uid == 0 { NOBODY } else { own };
    let init = image::rebuild::Init::start(inside, outside, None).with_context(|| {
        let hint = sys::features::namespace_hint();
        format!("start the namespaces for guests{hint}")
    })?;
    let (host, receiver) = host::Host::connect(&setup, bell)?;
    let host = Arc::new(host);
    host.listen(receiver)?;
    inspect::start(&host)?;
    tracer::Tracer::new(host, init)?.run();
    Ok(())
}
