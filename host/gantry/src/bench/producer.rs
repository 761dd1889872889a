//! One producing connection: a window of frames in flight, refilled with one write per read.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use tokio::time::timeout;

use super::{
    latency::Latency,
    link::Link,
    pace::{Pace, PreciseTimer},
    scan,
    stamp::Stamp,
    template::{self, Shape, Template},
};

/// How long answers may still come after the last message was sent.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// How often a connection that hears nothing looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one connection is to do.
pub(crate) struct Producer {
    /// The broker.
    pub(crate) broker: SocketAddr,
    /// What it sends.
    pub(crate) shape: Shape,
    /// Topics, sent to in turn.
    pub(crate) topics: Vec<String>,
    /// Queues of each topic, sent to in turn.
    pub(crate) queues: u32,
    /// Most frames in flight.
    pub(crate) window: usize,
    /// When frames are due.
    pub(crate) pace: Pace,
    /// Frames to send, if the run ends with a count.
    pub(crate) frames: Option<u64>,
    /// Number of the producer in its stamps.
    pub(crate) id: u32,
    /// What all connections of the run share.
    pub(crate) run: Arc<Run>,
}

/// What the connections of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    /// Latencies and due times count from here.
    pub(crate) start: Instant,
    /// `start` by the wall clock, nanoseconds since 1970.
    start_unix_ns: u64,
    /// Answers before this many nanoseconds are not measured.
    pub(crate) warmup_ns: u64,
    /// No frame is sent from then on.
    pub(crate) end_ns: u64,
    /// Set to end early.
    pub(crate) stop: AtomicBool,
    /// Messages answered with success so far, for who watches.
    pub(crate) stored: AtomicU64,
}

impl Run {
    /// Starts now.
    pub(crate) fn start(warmup: Duration, duration: Option<Duration>) -> Run {
        let ns = |duration: Duration| duration.as_nanos() as u64;
        Run {
            start: Instant::now(),
            start_unix_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ns),
            warmup_ns: ns(warmup),
            end_ns: duration.map_or(u64::MAX, |duration| ns(warmup + duration)),
            stop: AtomicBool::new(false),
            stored: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The wall clock's nanoseconds at `ns` since the start.
    pub(crate) fn unix_ns(&self, ns: u64) -> u64 {
        self.start_unix_ns + ns
    }

    /// Whether no more should be done.
    pub(crate) fn ended(&self, now_ns: u64) -> bool {
        now_ns >= self.end_ns || self.stop.load(Ordering::Relaxed)
    }
}

/// What one connection did.
#[derive(Debug)]
pub(crate) struct Produced {
    /// Number of the producer in its stamps.
    pub(crate) id: u32,
    /// Messages handed to the socket.
    pub(crate) sent: u64,
    /// Messages answered SEND_OK.
    pub(crate) stored: u64,
    /// Messages answered SEND_OK after the warm-up.
    pub(crate) measured: u64,
    /// When the last of them was answered, nanoseconds since the start.
    pub(crate) last_answer_ns: u64,
    /// Messages by answer code, other than SEND_OK.
    pub(crate) refused: BTreeMap<i32, u64>,
    /// Messages without an answer in time.
    pub(crate) unanswered: u64,
    /// Latency per message, after the warm-up.
    pub(crate) latency: Latency,
    /// Per queue (of the first topic, then of the next): numbers below this were sent.
    pub(crate) next_sequence: Vec<u64>,
}

impl Producer {
    /// Sends until the end of the run, then waits for the answers.
    pub(crate) async fn run(self) -> Result<Produced> {
        let mut templates = Vec::new();
        for topic in &self.topics {
            let shape = Shape { topic: topic.clone(), ..self.shape.clone() };
            for queue in 0..self.queues {
                templates.push(Template::new(&shape, queue)?);
            }
        }
        let link = Link::connect(self.broker).await?;
        let done = Produced {
            id: self.id,
            sent: 0,
            stored: 0,
            measured: 0,
            last_answer_ns: 0,
            refused: BTreeMap::new(),
            unanswered: 0,
            latency: Latency::new(),
            next_sequence: vec![0; templates.len()],
        };
        let flight = Flight::new(self.window);
        Active { timer: PreciseTimer::new()?, producer: self, templates, link, flight, done }.run().await
    }
}

/// Frames in flight: when each was sent (or due), by number.
struct Flight {
    /// 0 = free. Four windows long, so that one late answer does not hold up the connection behind it at once.
    since_ns: Vec<u64>,
    next: u64,
    count: usize,
}

impl Flight {
    fn new(window: usize) -> Flight {
        Flight { since_ns: vec![0; (window * 4).next_power_of_two()], next: 0, count: 0 }
    }

    fn slot(&mut self, number: u64) -> &mut u64 {
        let mask = self.since_ns.len() - 1;
        &mut self.since_ns[number as usize & mask]
    }
}

struct Active {
    producer: Producer,
    templates: Vec<Template>,
    link: Link,
    flight: Flight,
    timer: PreciseTimer,
    done: Produced,
}

impl Active {
    async fn run(mut self) -> Result<Produced> {
        let run = self.producer.run.clone();
        let mut stopped_at = None;
        loop {
            let now_ns = run.now_ns();
            let exhausted = self.producer.frames.is_some_and(|frames| self.flight.next >= frames);
            let mut next_due_ns = None;
            if !exhausted && !run.ended(now_ns) {
                next_due_ns = self.refill(now_ns);
            } else {
                let stopped_at = *stopped_at.get_or_insert(now_ns);
                let late = now_ns - stopped_at > ANSWERS_WITHIN.as_nanos() as u64;
                if self.flight.count == 0 && self.link.drained() || late {
                    break;
                }
            }
            self.exchange(next_due_ns.map(|due_ns| Duration::from_nanos(due_ns - now_ns))).await?;
            self.take_answers()?;
        }
        self.done.unanswered = (self.flight.count * self.producer.shape.batch) as u64;
        Ok(self.done)
    }

    /// Appends every frame that is due and has room in the window. Returns when the next one is due, if time is all that it
    /// waits for.
    fn refill(&mut self, now_ns: u64) -> Option<u64> {
        let Producer { pace, window, frames, run, id, .. } = &self.producer;
        let born = template::born_digits(run.unix_ns(now_ns) / 1_000_000);
        let batch = self.producer.shape.batch as u64;
        while self.flight.count < *window && frames.is_none_or(|frames| self.flight.next < frames) {
            let number = self.flight.next;
            let since_ns = if pace.is_open_loop() { pace.due_ns(number) } else { now_ns };
            if since_ns > now_ns {
                return Some(since_ns);
            }
            if *self.flight.slot(number) != 0 {
                break;
            }
            let queue = (number + u64::from(*id)) % self.templates.len() as u64;
            let sequence = &mut self.done.next_sequence[queue as usize];
            let sent_ns = self.producer.shape.due.map_or_else(|| run.unix_ns(since_ns), |due| due.due_ns(number));
            let stamp = Stamp { producer: *id, sequence: *sequence, sent_ns };
            let key = u64::from(*id) << 40 | (number * batch);
            self.templates[queue as usize].append(&mut self.link.out, template::opaque(number), &born, key, stamp);
            *sequence += batch;
            *self.flight.slot(number) = since_ns.max(1);
            self.flight.next += 1;
            self.flight.count += 1;
            self.done.sent += batch;
        }
        None
    }

    /// Moves bytes until some came in, `until_due` has passed, or it is time to look around.
    async fn exchange(&mut self, until_due: Option<Duration>) -> Result<()> {
        let Some(wait) = until_due else {
            return match timeout(LOOK_EVERY, self.link.exchange()).await {
                Ok(moved) => Ok(moved?),
                Err(_elapsed) => Ok(()),
            };
        };
        tokio::select! {
            moved = self.link.exchange() => moved?,
            slept = self.timer.sleep(wait.min(LOOK_EVERY)) => slept?,
        }
        Ok(())
    }

    fn take_answers(&mut self) -> Result<()> {
        let run = self.producer.run.clone();
        let now_ns = run.now_ns();
        let batch = self.producer.shape.batch as u64;
        let (flight, done) = (&mut self.flight, &mut self.done);
        let (mut stored, mut stranger) = (0, None);
        let taken = scan::answers(self.link.input(), |answer| {
            let slot = template::number(answer.opaque).map(|number| flight.slot(number));
            let since_ns = match slot {
                Some(slot) if *slot != 0 => std::mem::take(slot),
                _ => return stranger = Some(answer),
            };
            flight.count -= 1;
            if answer.code != 0 {
                *done.refused.entry(answer.code).or_default() += batch;
                return;
            }
            stored += batch;
            if now_ns >= run.warmup_ns {
                done.measured += batch;
                done.last_answer_ns = now_ns;
                for _ in 0..batch {
                    done.latency.record(now_ns - since_ns);
                }
            }
        })?;
        if let Some(answer) = stranger {
            bail!("the server answered opaque {} (code {}), which is not in flight", answer.opaque, answer.code);
        }
        self.link.take(taken);
        done.stored += stored;
        run.stored.fetch_add(stored, Ordering::Relaxed);
        Ok(())
    }
}
