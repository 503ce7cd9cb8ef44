//! A thread for each connection, within bounds. Whoever can connect can make us start one, so only so
//! many are served at once, and fewer of one address: a stranger can keep out himself.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Time until it is tried again where there was nothing to accept with.
const PAUSE: Duration = Duration::from_millis(20);

/// How the connections of a listener are served.
#[derive(Debug, Clone, Copy)]
pub struct Serving {
    /// Name of the threads.
    pub name: &'static str,
    /// Stack of each, in bytes.
    pub stack_bytes: usize,
    /// Most connections that are served at once.
    pub at_once: usize,
    /// Most of one address, where connections have addresses.
    pub of_one_address: usize,
}

/// A connection of any kind.
pub trait Connection: Send + 'static {
    /// Who is at the other end, if that can be told.
    fn from(&self) -> Option<IpAddr>;
}

impl Connection for TcpStream {
    fn from(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|peer| peer.ip())
    }
}

impl Connection for UnixStream {
    fn from(&self) -> Option<IpAddr> {
        None
    }
}

#[derive(Default)]
struct Places {
    taken: usize,
    of: HashMap<IpAddr, usize>,
}

/// One of the connections that are served at once, until it is dropped.
pub struct Place {
    places: Arc<Mutex<Places>>,
    of: Option<IpAddr>,
}

impl Place {
    fn take(places: &Arc<Mutex<Places>>, of: Option<IpAddr>, serving: &Serving) -> Option<Place> {
        let mut all = places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = of.map_or(0, |address| all.of.get(&address).copied().unwrap_or(0));
        if all.taken >= serving.at_once || of_it >= serving.of_one_address {
            return None;
        }
        all.taken += 1;
        if let Some(address) = of {
            all.of.insert(address, of_it + 1);
        }
        Some(Place {
            places: Arc::clone(places),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        all.taken -= 1;
        let Some(address) = self.of else { return };
        match all.of.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.of.remove(&address)),
        }
    }
}

/// Serves what comes in, each connection on a thread of its own, until `goes_on` says no. Those that
/// are too many are closed. `serve` holds its place as long as it counts.
pub fn serve_each<C: Connection>(
    incoming: impl Iterator<Item = io::Result<C>>,
    serving: Serving,
    goes_on: impl Fn() -> bool,
    serve: impl Fn(C, Place) + Clone + Send + 'static,
) {
    let places = Arc::default();
    for connection in incoming {
        if !goes_on() {
            return;
        }
        let Ok(connection) = connection else {
            // Out of descriptors, mostly: some may come free.
            thread::sleep(PAUSE);
            continue;
        };
        let Some(place) = Place::take(&places, Connection::from(&connection), &serving) else {
            continue;
        };
        let serve = serve.clone();
        let started = thread::Builder::new()
            .name(serving.name.into())
            .stack_size(serving.stack_bytes)
            .spawn(move || serve(connection, place));
        if let Err(error) = started {
            tracing::warn!("no thread for a connection: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_keeps_out_himself_only() {
        let serving = Serving {
            name: "test",
            stack_bytes: 0,
            at_once: 5,
            of_one_address: 2,
        };
        let places = Arc::default();
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        let take = |of| Place::take(&places, of, &serving);
        let stranger = [take(address(1)), take(address(1))];
        assert!(stranger.iter().all(Option::is_some));
        assert!(take(address(1)).is_none(), "too many of one");
        let others = [take(address(2)), take(None), take(None)];
        assert!(others.iter().all(Option::is_some));
        assert!(take(address(3)).is_none(), "too many of all");
        drop(stranger);
        assert!(take(address(1)).is_some());
        drop(others);
        let all = places.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!((all.taken, all.of.len()), (0, 0));
    }
}
