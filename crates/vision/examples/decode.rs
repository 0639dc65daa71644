//! Decodes an image file and writes its samples, for comparison with other decoders: a line of
//! width, height, channels and bits, then the samples, 16 bits in little endian. With `--memory` it writes
//! the bytes that decoding was said to take and those that it took (on Linux), with `--frame` it decodes another than the
//! first.

use std::io::Write;
use std::process::ExitCode;

use vision::{DecodeOptions, Format, Samples, decode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: decode FILE [--memory | --frame NUMBER]");
        return ExitCode::from(2);
    };
    let mut frame = None;
    match arguments.next() {
        Some(argument) if argument == "--memory" => return memory(&path),
        Some(argument) if argument == "--frame" => {
            frame = arguments.next().and_then(|number| number.to_str()?.parse().ok());
        }
        _ => {}
    }
    let image = std::fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| {
        let format = Format::sniff(&bytes).ok_or("no known format")?;
        decode(format, &bytes, &DecodeOptions { frame, ..DecodeOptions::default() })
            .map_err(|error| error.to_string())
    });
    let image = match image {
        Ok(image) => image,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (bits, bytes) = match image.samples() {
        Samples::Gray8(values) | Samples::Rgb8(values) => (8, values.clone()),
        Samples::Gray16(values) | Samples::Rgb16(values) => {
            (16, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    };
    let head = format!("{} {} {} {bits}\n", image.width(), image.height(), image.channels());
    let mut out = std::io::stdout().lock();
    match out.write_all(head.as_bytes()).and_then(|()| out.write_all(&bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Most memory that this process has held, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

fn memory(path: &std::ffi::OsStr) -> ExitCode {
    let Ok(bytes) = std::fs::read(path) else { return ExitCode::FAILURE };
    let Some(format) = Format::sniff(&bytes) else { return ExitCode::FAILURE };
    let options = DecodeOptions::default();
    let before = peak();
    let image = decode(format, &bytes, &options);
    let taken = peak() - before;
    if let Err(error) = image {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    println!("{} {taken}", vision::declared(format, &bytes, &options).memory);
    ExitCode::SUCCESS
}
