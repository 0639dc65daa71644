//! The plots beside a model card: learning curve, reliability and ROC, as SVG.

use anyhow::Result;
use plotters::prelude::*;

use super::fit::Epoch;
use super::metrics::{Bin, roc};

const SIZE: (u32, u32) = (640, 440);
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 98, 168),
    RGBColor(200, 80, 50),
    RGBColor(60, 140, 80),
    RGBColor(130, 90, 160),
    RGBColor(150, 120, 40),
    RGBColor(90, 90, 90),
];

/// Training and validation loss by epoch.
pub fn learning_curve(history: &[Epoch]) -> Result<Vec<u8>> {
    let line = |f: fn(&Epoch) -> f64| history.iter().map(|e| (e.epoch as f64, f(e))).collect::<Vec<_>>();
    let lines = vec![
        ("training loss".to_string(), line(|e| e.train_loss)),
        ("validation loss".to_string(), line(|e| e.val_loss)),
    ];
    let top = lines.iter().flat_map(|(_, l)| l).fold(0f64, |top, point| top.max(point.1));
    draw(
        "Learning curve",
        ("epoch", "loss"),
        (history.len().max(2) as f64, top.max(1e-3) * 1.05),
        lines,
        false,
    )
}

/// Share of right answers by confidence; on the diagonal the two agree.
pub fn reliability(bins: &[Bin]) -> Result<Vec<u8>> {
    let points = bins.iter().filter(|bin| bin.count > 0).map(|bin| (bin.confidence, bin.accuracy)).collect();
    draw(
        "Reliability",
        ("confidence", "share that is right"),
        (1.0, 1.0),
        vec![("model".to_string(), points)],
        true,
    )
}

/// ROC curves, one a label against the rest; of two labels the second alone.
pub fn roc_curves(labels: &[String], probabilities: &[Vec<f32>], truth: &[usize]) -> Result<Vec<u8>> {
    let first = if labels.len() == 2 { 1 } else { 0 };
    let lines = (first..labels.len()).map(|label| {
        let scores: Vec<f64> = probabilities.iter().map(|row| f64::from(row[label])).collect();
        let positive: Vec<bool> = truth.iter().map(|t| *t == label).collect();
        (labels[label].clone(), roc(&scores, &positive))
    });
    draw("ROC", ("false positive rate", "true positive rate"), (1.0, 1.0), lines.collect(), true)
}

type Line = (String, Vec<(f64, f64)>);

fn draw(
    title: &str,
    axes: (&str, &str),
    top: (f64, f64),
    lines: Vec<Line>,
    diagonal: bool,
) -> Result<Vec<u8>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(0f64..top.0, 0f64..top.1)?;
        // Read at half their size beside another, or on a phone.
        chart
            .configure_mesh()
            .x_desc(axes.0)
            .y_desc(axes.1)
            .label_style(("sans-serif", 16))
            .axis_desc_style(("sans-serif", 18))
            .light_line_style(WHITE)
            .draw()?;
        if diagonal {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3)))?;
        }
        for (i, (name, points)) in lines.into_iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
            if points.len() <= 50 {
                chart.draw_series(points.into_iter().map(|p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", 16))
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
    }
    Ok(svg.into_bytes())
}
