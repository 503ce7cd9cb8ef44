//! Where a monitoring system may read: an address of this machine alone, unless the user says otherwise,
//! since anybody who can connect learns what runs here.

use std::net::SocketAddr;

use anyhow::ensure;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Config;

const ALLOWED: &str = "metrics is an address with a port, such as \"127.0.0.1:9746\"";

/// Reads the address, and says what is allowed if it is none.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from).map_err(|_| D::Error::custom(ALLOWED))?;
    let address = text.parse();
    address.map(Some).map_err(|_| D::Error::custom(ALLOWED))
}

pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let Some(address) = config.metrics else {
        return Ok(());
    };
    ensure!(
        config.metrics_open || address.ip().is_loopback(),
        "metrics is an address of this machine alone, such as 127.0.0.1:9746; with metrics_open = true any"
    );
    ensure!(address.port() != 0, "metrics has a port from 1");
    Ok(())
}
