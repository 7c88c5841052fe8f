//! Runs talkers and listeners through warm-up, measured interval and drain, and adds up what they found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::{LoadError, Result};
use crate::flow::{Flow, Listener, Talker};
use crate::measure::meter::Meter;
use crate::measure::process::Measured;
use crate::measure::report::{Faults, Phase, Stopwatch};
use crate::options::Period;

/// Nothing arrived for so long: what is missing will not come.
const QUIET: Duration = Duration::from_secs(5);
/// Everything arrived: so long we listen for duplicates.
const DUPLICATES: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The pacer wakes talkers at most this often; messages due in between are sent together.
const PACER_STEP: Duration = Duration::from_micros(50);

pub struct Conversation {
    pub meter: Arc<Meter>,
    pub talkers: Vec<Talker>,
    pub listeners: Vec<Listener>,
    /// All flows, by number.
    pub flows: Vec<Arc<Flow>>,
    /// How many listeners each stanza reaches.
    pub fan: u64,
    pub unit: &'static str,
    pub name: &'static str,
    /// Nanoseconds between two messages of the whole open loop, and when it begins; none in a closed loop.
    pub beat: Option<Beat>,
}

/// The open loop's rhythm: message `k` of the run belongs to flow `k % flows`.
#[derive(Clone, Copy)]
pub struct Beat {
    pub first: u64,
    pub interval: u64,
}

impl Conversation {
    pub async fn run(self, period: &Period, process: Option<Measured>) -> Result<(Phase, Faults)> {
        let Conversation { meter, talkers, listeners, flows, fan, unit, name, beat } = self;
        let (stop, stopped) = watch::channel(false);
        let listeners: Vec<_> =
            listeners.into_iter().map(|listener| tokio::spawn(listener.run(stopped.clone()))).collect();
        let talkers: Vec<_> =
            talkers.into_iter().map(|talker| tokio::spawn(talker.run(stopped.clone()))).collect();
        let pacer = beat.map(|beat| Pacer::start(beat, flows.clone(), meter.clone()));

        sleep(Duration::from_secs_f64(period.warmup)).await;
        let stopwatch = Stopwatch::start(process)?;
        meter.begin();
        let before = meter.arrived();
        sleep(Duration::from_secs_f64(period.duration)).await;
        let operations = meter.arrived() - before;
        meter.end();
        let mut phase = stopwatch.stop(name, unit, operations, None)?;

        drain(&meter, fan, Duration::from_secs_f64(period.drain)).await;
        drop(pacer);
        let _ = stop.send(true);
        let faults = add_up(&meter, &flows, talkers, listeners).await?;
        phase.latency_us = meter.latency().latency();
        Ok((phase, faults))
    }
}

/// Waits for what is under way.
async fn drain(meter: &Meter, fan: u64, limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut last = (meter.sent(), meter.arrived());
    let mut progress = Instant::now();
    while Instant::now() < deadline && progress.elapsed() < QUIET {
        sleep(LOOK_EVERY).await;
        let now = (meter.sent(), meter.arrived());
        if now == last && now.0 * fan == now.1 {
            return sleep(DUPLICATES).await;
        }
        if now != last {
            progress = Instant::now();
        }
        last = now;
    }
}

async fn add_up(
    meter: &Meter,
    flows: &[Arc<Flow>],
    talkers: Vec<JoinHandle<u64>>,
    listeners: Vec<JoinHandle<crate::flow::Tally>>,
) -> Result<Faults> {
    let ended = |_| LoadError::Options("a task of the tool ended unexpectedly".into());
    let mut unacknowledged = 0;
    for talker in talkers {
        unacknowledged += talker.await.map_err(ended)?;
    }
    let (mut lost, mut duplicated, mut out_of_order) = (0, 0, 0);
    for listener in listeners {
        let tally = listener.await.map_err(ended)?;
        unacknowledged += tally.unacknowledged;
        for (sequence, flow) in tally.sequences.iter().zip(flows.iter().skip(tally.first)) {
            lost += sequence.lost(flow.sent());
            duplicated += sequence.duplicated;
            out_of_order += sequence.out_of_order;
        }
    }
    Ok(Faults { lost, duplicated, out_of_order, unacknowledged, ..Faults::of(meter) })
}

/// A thread that wakes talkers when messages of the open loop are due. The runtime's own timers are a
/// millisecond coarse, which would be most of the latency that is measured.
struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    fn start(beat: Beat, flows: Vec<Arc<Flow>>, meter: Arc<Meter>) -> Pacer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            let mut woken = 0;
            while !stopping.load(Ordering::Relaxed) {
                let now = meter.now();
                let due = now.checked_sub(beat.first).map_or(0, |elapsed| elapsed / beat.interval + 1);
                // One wake is enough for all the messages of a flow.
                let from = woken.max(due.saturating_sub(flows.len() as u64));
                for flow in (from..due).filter_map(|beat| flows.get((beat % flows.len() as u64) as usize)) {
                    flow.wake();
                }
                woken = due;
                let next = beat.first + due * beat.interval;
                thread::sleep(Duration::from_nanos(next.saturating_sub(meter.now())).max(PACER_STEP));
            }
        });
        Pacer { stop, thread: Some(thread) }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It sleeps one beat at most; its panic would be ours.
            let _ = thread.join();
        }
    }
}
