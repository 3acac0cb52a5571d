//! The world that a policy lives in: WASI with nothing behind it.
//!
//! A policy is a function of its arguments, and language runtimes want a whole operating system. So everything is there and
//! nothing of it moves: the clocks stand still, randomness follows from a seed, there are no files, sockets, arguments or
//! variables, and a wait is over at once (no time passes in which it could be anything else; a real wait would make the
//! answer of a policy that waits for two things depend on how busy the host is).
//!
//! What must hold: two calls with the same seed see the same, on any host. The constants and the generator here are part of
//! that: changing them changes the answers in a replay.

use std::convert::Infallible;
use std::time::Duration;

use rand_core::TryRng;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiView, async_trait};

use super::log::{LogSource, Recorder};

/// The time of day, always: 2020-01-01 00:00:00 UTC. Not zero, which date libraries take for "unset".
const WALL_CLOCK: Duration = Duration::from_secs(1_577_836_800);

/// The monotonic clock's reading in nanoseconds, always: a minute after its start, so that code may look a little back.
const MONOTONIC_CLOCK: u64 = 60_000_000_000;

/// Bytes that a guest may ask of a generator at once: they are made while nothing else runs on the thread.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// WASI for one call: randomness from `seed`, output to `recorder`, and nothing else.
pub(super) fn wasi(seed: u64, recorder: &Recorder) -> WasiCtx {
    let mut streams = SplitMix64(seed);
    let mut insecure_seed = SplitMix64(streams.step());
    WasiCtx::builder()
        .stdout(recorder.stream(LogSource::Stdout))
        .stderr(recorder.stream(LogSource::Stderr))
        .wall_clock(StandingClock)
        .monotonic_clock(StandingClock)
        .secure_random(SplitMix64(streams.step()))
        .insecure_random(SplitMix64(streams.step()))
        .insecure_random_seed(
            u128::from(insecure_seed.step()) << 64 | u128::from(insecure_seed.step()),
        )
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// Links WASI 0.2 with waits that are over at once.
pub(super) fn link<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<T, Waits>(linker, |store| NoWait(store.ctx().table))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct StandingClock;

impl HostWallClock for StandingClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        WALL_CLOCK
    }
}

impl HostMonotonicClock for StandingClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        MONOTONIC_CLOCK
    }
}

struct Waits;

impl HasData for Waits {
    type Data<'a> = NoWait<'a>;
}

struct NoWait<'a>(&'a mut ResourceTable);

impl NoWait<'_> {
    fn over(&mut self) -> Result<Resource<DynPollable>> {
        let wait = self.0.push(Over)?;
        subscribe(self.0, wait)
    }
}

impl monotonic_clock::Host for NoWait<'_> {
    fn now(&mut self) -> Result<monotonic_clock::Instant> {
        Ok(MONOTONIC_CLOCK)
    }

    fn resolution(&mut self) -> Result<monotonic_clock::Duration> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, _: monotonic_clock::Instant) -> Result<Resource<DynPollable>> {
        self.over()
    }

    fn subscribe_duration(
        &mut self,
        _: monotonic_clock::Duration,
    ) -> Result<Resource<DynPollable>> {
        self.over()
    }
}

/// A wait that is over.
struct Over;

#[async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

/// The generator of that name, written out because its numbers are part of a policy's input: a library's "standard"
/// generator may change with the library.
struct SplitMix64(u64);

impl SplitMix64 {
    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for SplitMix64 {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [a, b, c, d, ..] = self.step().to_be_bytes();
        Ok(u32::from_be_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.step())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let random = self.step().to_le_bytes();
            chunk
                .iter_mut()
                .zip(random)
                .for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_wasi::cli::WasiCliCtxView;
    use wasmtime_wasi::p2::bindings::cli::environment::Host as _;
    use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

    fn drawn(seed: u64) -> (Vec<u8>, Vec<u8>, (u64, u64)) {
        let mut wasi = wasi(seed, &Recorder::default());
        let generators = wasi.random();
        (
            random::Host::get_random_bytes(generators, 32).unwrap(),
            insecure::Host::get_insecure_random_bytes(generators, 32).unwrap(),
            insecure_seed::Host::insecure_seed(generators).unwrap(),
        )
    }

    #[test]
    fn randomness_follows_from_the_seed() {
        assert_eq!(drawn(7), drawn(7));
        let ((secure, insecure, seed), other) = (drawn(7), drawn(8));
        assert_ne!(secure, insecure);
        assert_ne!(secure, other.0);
        assert_ne!(insecure, other.1);
        assert_ne!(seed, other.2);
    }

    #[test]
    fn a_guest_draws_only_so_much_at_once() {
        let mut wasi = wasi(0, &Recorder::default());
        assert!(random::Host::get_random_bytes(wasi.random(), u64::MAX).is_err());
    }

    #[test]
    fn there_are_no_variables_arguments_or_folder() {
        let mut wasi = wasi(0, &Recorder::default());
        let mut view = WasiCliCtxView {
            ctx: wasi.cli(),
            table: &mut ResourceTable::new(),
        };
        assert_eq!(view.get_environment().unwrap(), []);
        assert_eq!(view.get_arguments().unwrap(), [""; 0]);
        assert_eq!(view.initial_cwd().unwrap(), None);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut generator = SplitMix64(1_234_567);
        assert_eq!(generator.step(), 6_457_827_717_110_365_317);
        assert_eq!(generator.step(), 3_203_168_211_198_807_973);
    }
}
