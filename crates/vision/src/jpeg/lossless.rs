//! Lossless JPEG (ITU-T T.81 annex H, process 14): each sample is its prediction from its
//! neighbours and a Huffman-coded difference.

use super::bits::{Bits, Tables};
use super::segments::{Scan, Segments};
use super::{Header, malformed};
use crate::decode::DecodeError;

/// Decodes the components as stored, samples of more than 8 bits whole, pixel by pixel.
pub(crate) fn decode_lossless(bytes: &[u8], header: &Header) -> Result<Vec<u16>, DecodeError> {
    let (width, height) = (usize::from(header.width), usize::from(header.height));
    let components = usize::from(header.components);
    // Every sample costs at least one bit.
    if width * height * components / 8 > bytes.len() {
        return Err(header.too_short(bytes.len()));
    }
    let mut tables = Tables::default();
    let mut interval = 0usize;
    let mut ids = Vec::new();
    let mut values = vec![0u16; width * height * components];
    let mut seen = vec![false; components];
    let mut segments = Segments::new(bytes);
    while let Some((marker, body)) = segments.next()? {
        match marker {
            0xc4 => tables.define(body)?,
            0xdd => interval = super::restart_interval(body)?,
            0xc3 => {
                let each = body.get(6..).unwrap_or_default().as_chunks::<3>().0;
                if each.len() != components {
                    return Err(malformed("its frame header is too short"));
                }
                if !ids.is_empty() {
                    return Err(malformed("it has two frame headers"));
                }
                if each.iter().any(|one| one[1] != each[0][1]) {
                    return Err(DecodeError::unsupported("a lossless JPEG with subsampled components"));
                }
                ids = each.iter().map(|one| one[0]).collect();
            }
            0xda => {
                let scan = Scan::read(body, &ids)?;
                for part in &scan.parts {
                    seen[part.component] = true;
                }
                let mut bits = Bits::new(bytes, segments.at);
                decode_scan(&mut bits, &scan, &tables, interval, header, &mut values)?;
                segments.at = bits.finish()?;
            }
            _ => {}
        }
    }
    if seen.iter().all(|&seen| seen) {
        Ok(values)
    } else {
        Err(malformed("the scan of a component is missing"))
    }
}

/// Decodes the samples of the components of one scan.
fn decode_scan(
    bits: &mut Bits<'_>,
    scan: &Scan,
    tables: &Tables,
    interval: usize,
    header: &Header,
    values: &mut [u16],
) -> Result<(), DecodeError> {
    let (width, height) = (usize::from(header.width), usize::from(header.height));
    let components = usize::from(header.components);
    let (predictor, transform) = (scan.first, u32::from(scan.low));
    let deep = (2..=16).contains(&header.precision);
    if !deep || !(1..=7).contains(&predictor) || transform >= u32::from(header.precision) {
        return Err(malformed("its precision, predictor or point transform is out of range"));
    }
    if !interval.is_multiple_of(width) {
        return Err(DecodeError::unsupported("a lossless JPEG that restarts within a row"));
    }
    let parts = scan.parts.iter().map(|part| Ok((part.component, tables.get(0, part.dc)?)));
    let parts = parts.collect::<Result<Vec<_>, DecodeError>>()?;
    let middle = 1i32 << (u32::from(header.precision) - transform - 1);
    let row_values = width * components;
    let (mut since, mut restarts) = (0, 0);
    for y in 0..height {
        if interval > 0 && since == interval {
            bits.restart(restarts)?;
            restarts += 1;
            since = 0;
        }
        // The first row, and the first after a restart, have nothing above them.
        let is_first = since == 0 && (y == 0 || interval > 0);
        since += width;
        for x in 0..width {
            for &(component, table) in &parts {
                let at = y * row_values + x * components + component;
                let value = |at: usize| i32::from(values[at] >> transform);
                let prediction = match (x, is_first) {
                    (0, true) => middle,
                    (_, true) => value(at - components),
                    (0, false) => value(at - row_values),
                    _ => {
                        let (a, b) = (value(at - components), value(at - row_values));
                        let c = value(at - row_values - components);
                        match predictor {
                            1 => a,
                            2 => b,
                            3 => c,
                            4 => a + b - c,
                            5 => a + ((b - c) >> 1),
                            6 => b + ((a - c) >> 1),
                            _ => (a + b) >> 1,
                        }
                    }
                };
                let difference = match table.decode(bits)? {
                    size @ 0..=15 => bits.difference(u32::from(size))?,
                    16 => 32_768,
                    _ => return Err(malformed("a difference of more than 16 bits")),
                };
                values[at] = ((prediction + difference) as u16) << transform;
            }
        }
    }
    Ok(())
}
