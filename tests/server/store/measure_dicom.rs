//! A measurement, not a test: what senders of images wait for while others of them and two workers write. Once over
//! one store, whose writers queue for their turn, and once over a store each, whose writers look again and again
//! whether SQLite's lock is free, as writers of different processes do.
//!
//! ```text
//! cargo test --test server -- --ignored --nocapture --test-threads 1 measure_dicom
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use medserve::store::Store;
use medserve::store::dicom::{DicomAnswer, DicomResult, Received, Turn};

use super::database::Database;

/// As in benches/dicom_store.py: associations, images of each, and bytes of an image.
const SENDERS: usize = 4;
const IMAGES: usize = 50;
const BYTES: usize = 263 << 10;
const WORKERS: usize = 2;

fn image(sender: usize, number: usize) -> Received {
    Received {
        sop_instance: format!("1.2.{sender}.{number}"),
        image: "as it was".to_owned(),
        study: "1.2".to_owned(),
        patient: "p".to_owned(),
        caller: "PACS".to_owned(),
        address: "10.0.0.7".to_owned(),
        received: 0,
        file: Bytes::from(vec![7; BYTES]),
    }
}

fn result(of: &str) -> DicomResult {
    DicomResult {
        sop_instance: format!("{of}.9"),
        series: "1.9".to_owned(),
        study: "1.2".to_owned(),
        sop_class: "1.2.840".to_owned(),
        source: of.to_owned(),
        image: "as it was".to_owned(),
        patient: "p".to_owned(),
        model: "m".to_owned(),
        version: "1".to_owned(),
        created: 0,
        metadata: "{}".to_owned(),
        file: Bytes::from(vec![8; 64 << 10]),
    }
}

async fn send(store: Arc<dyn Store>, sender: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..IMAGES {
        let image = image(sender, number);
        let began = Instant::now();
        while store.queue_dicom(std::slice::from_ref(&image), 10_000).await.is_err() {}
        times.push(began.elapsed());
    }
    times
}

async fn work(store: Arc<dyn Store>, left: Arc<AtomicUsize>) {
    while left.load(Ordering::Relaxed) > 0 {
        match store.take_dicom(1, 1_000_000).await {
            Ok(Some(taken)) => {
                let made = [result(&taken.instance.sop_instance)];
                let answer = DicomAnswer { results: &made, ..DicomAnswer::default() };
                while store.answer_dicom(Turn::Queued(taken.number), answer).await.is_err() {}
                left.fetch_sub(1, Ordering::Relaxed);
            }
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn measure(shared: bool) {
    let database = Database::sqlite().await;
    let own = async || if shared { database.store.clone() } else { database.replica().await };
    let left = Arc::new(AtomicUsize::new(SENDERS * IMAGES));
    let began = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        senders.push(tokio::spawn(send(own().await, sender)));
    }
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(tokio::spawn(work(own().await, left.clone())));
    }
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let (sent, count) = (began.elapsed(), times.len());
    for worker in workers {
        worker.await.unwrap();
    }
    times.sort();
    let (half, most) = (times[count / 2], times[count * 99 / 100]);
    println!(
        "{}: {:.0} images a second taken in, p50 {half:.1?}, p99 {most:.1?}; answered after {:.1?}",
        if shared { "in turn" } else { "by looking again" },
        count as f64 / sent.as_secs_f64(),
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn measure_dicom() {
    for _ in 0..3 {
        measure(false).await;
        measure(true).await;
    }
}
