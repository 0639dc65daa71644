//! The image path without the model: decode, centre crop, resize to 28 x 28, normalise.
//!
//!     cargo bench --bench vision
//!
//! The image is a noise-bearing phantom of 1,024 x 1,024 pixels as a PNG, a JPEG of quality 90
//! and an uncompressed 16-bit DICOM file. With `--peer FOLDER` the program measures on request
//! instead: it leaves the phantom in the folder, `benches/peers/vision.py` writes the files with
//! other software, sends lines of a file name and a number of rounds, and reads the median
//! seconds and the result back, so that both sides work on the same bytes in turns.

use std::hint::black_box;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use criterion::Criterion;
use model::manifest::{Crop, ImageInput, Normalisation, ResizeFilter};
use vision::phantom::chest_phantom;
use vision::{DecodeOptions, Format, Preprocessor, Samples, decode};

const SIDE: u32 = 1024;

fn input() -> ImageInput {
    ImageInput {
        height: 28,
        width: 28,
        channels: 1,
        crop: Crop::Centre,
        resize: ResizeFilter::Bicubic,
        normalisation: Normalisation::Fixed { mean: vec![0.5], std: vec![0.25] },
        accepts: None,
    }
}

/// The whole path for one file.
fn run(preprocessor: &mut Preprocessor, format: Format, bytes: &[u8]) -> Vec<f32> {
    let image = decode(format, bytes, &DecodeOptions::default()).expect("a sound file");
    preprocessor.run(&image).expect("a sound input")
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--peer") {
        Some(at) => measure_on_request(Path::new(&arguments[at + 1])),
        None => {
            let mut criterion = Criterion::default().configure_from_args();
            bench(&mut criterion);
            criterion.final_summary();
        }
    }
}

fn bench(criterion: &mut Criterion) {
    let png = chest_phantom(0, SIDE).expect("a phantom");
    let image = decode(Format::Png, &png, &DecodeOptions::default()).expect("a sound file");
    let Samples::Gray8(pixels) = image.samples() else {
        panic!("a phantom is grey with 8 bits");
    };
    let mut jpeg = Vec::new();
    jpeg_encoder::Encoder::new(&mut jpeg, 90)
        .encode(pixels, SIDE as u16, SIDE as u16, jpeg_encoder::ColorType::Luma)
        .expect("a JPEG");
    let mut preprocessor = Preprocessor::new(input()).expect("a sound input");
    let mut group = criterion.benchmark_group("vision");
    for (name, format, bytes) in
        [("png", Format::Png, png), ("jpeg", Format::Jpeg, jpeg), ("dicom", Format::Dicom, dicom(pixels))]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| run(&mut preprocessor, format, black_box(&bytes)));
        });
        let options = DecodeOptions::default();
        group.bench_function(format!("{name}-decode"), |bencher| {
            bencher.iter(|| decode(format, black_box(&bytes), &options));
        });
    }
    group.bench_function("preprocess", |bencher| {
        bencher.iter(|| preprocessor.run(black_box(&image)));
    });
    group.finish();
}

/// A DICOM file of 12 bits stored in 16, with a window.
fn dicom(pixels: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let mut element = |tag: u32, vr: &[u8; 2], value: &[u8]| {
        file.extend(((tag >> 16) as u16).to_le_bytes());
        file.extend((tag as u16).to_le_bytes());
        file.extend(vr);
        if vr == b"OW" {
            file.extend([0, 0]);
            file.extend((value.len() as u32).to_le_bytes());
        } else {
            file.extend((value.len() as u16).to_le_bytes());
        }
        file.extend(value);
    };
    let side = (SIDE as u16).to_le_bytes();
    let words: Vec<u8> = pixels.iter().flat_map(|&value| (u16::from(value) * 16).to_le_bytes()).collect();
    element(0x0002_0010, b"UI", b"1.2.840.10008.1.2.1\0");
    element(0x0028_0002, b"US", &[1, 0]);
    element(0x0028_0004, b"CS", b"MONOCHROME2 ");
    element(0x0028_0010, b"US", &side);
    element(0x0028_0011, b"US", &side);
    element(0x0028_0100, b"US", &[16, 0]);
    element(0x0028_0101, b"US", &[12, 0]);
    element(0x0028_0102, b"US", &[11, 0]);
    element(0x0028_0103, b"US", &[0, 0]);
    element(0x0028_1050, b"DS", b"2048");
    element(0x0028_1051, b"DS", b"4096");
    element(0x7fe0_0010, b"OW", &words);
    file
}

/// Writes `phantom.png` and says so; then answers each line "file rounds" with the median seconds
/// of one round and the result, as JSON.
fn measure_on_request(folder: &Path) {
    let phantom = chest_phantom(0, SIDE).expect("a phantom");
    std::fs::write(folder.join("phantom.png"), phantom).expect("a folder to write to");
    println!("ready");
    let mut preprocessor = Preprocessor::new(input()).expect("a sound input");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (name, rounds) = line.split_once(' ').expect("a file and a number");
        let rounds: usize = rounds.parse().expect("a number of rounds");
        let bytes = std::fs::read(folder.join(name)).expect("the file");
        let format = Format::sniff(&bytes).expect("a known format");
        let mut seconds: Vec<f64> = (0..rounds)
            .map(|_| {
                let start = Instant::now();
                black_box(run(&mut preprocessor, format, black_box(&bytes)));
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let values = run(&mut preprocessor, format, &bytes);
        let answer = serde_json::json!({ "seconds": seconds[rounds / 2], "values": values });
        println!("{answer}");
    }
}
