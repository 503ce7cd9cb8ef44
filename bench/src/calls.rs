//! Single system calls.

use std::fs::File;
use std::sync::atomic::AtomicU32;

use anyhow::Result;
use nix::sys::stat::stat;
use nix::time::ClockId;
use nix::unistd;

use crate::meter::{Meter, Sample};
use crate::raw_calls;
use crate::rows::Stage;

pub(crate) fn getppid(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(|| {
        std::hint::black_box(unistd::getppid());
        Ok(())
    })
}

pub(crate) fn getpid(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(|| {
        std::hint::black_box(unistd::getpid());
        Ok(())
    })
}

pub(crate) fn clock_vdso(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(|| {
        std::hint::black_box(nix::time::clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        Ok(())
    })
}

pub(crate) fn clock_raw(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(|| Ok(raw_calls::clock_gettime()?))
}

pub(crate) fn futex_wake(meter: Meter, _: &Stage) -> Result<Sample> {
    let word = AtomicU32::new(0);
    meter.repeat(|| Ok(raw_calls::futex_wake(&word)?))
}

pub(crate) fn stat_file(meter: Meter, stage: &Stage) -> Result<Sample> {
    let path = stage.scratch.small();
    meter.repeat(|| {
        std::hint::black_box(stat(&path)?);
        Ok(())
    })
}

pub(crate) fn open_close(meter: Meter, stage: &Stage) -> Result<Sample> {
    let path = stage.scratch.small();
    meter.repeat(|| {
        drop(File::open(&path)?);
        Ok(())
    })
}

pub(crate) fn filtered_getpid(meter: Meter, stage: &Stage) -> Result<Sample> {
    raw_calls::allow_everything()?;
    getpid(meter, stage)
}

pub(crate) fn filtered_clock(meter: Meter, stage: &Stage) -> Result<Sample> {
    raw_calls::allow_everything()?;
    clock_raw(meter, stage)
}

pub(crate) fn filtered_futex(meter: Meter, stage: &Stage) -> Result<Sample> {
    raw_calls::allow_everything()?;
    futex_wake(meter, stage)
}
