//! The chain against brute force: every sequence of tags of a short text, one by one.

use super::*;

const TAGS: Tags = Tags { labels: 2 };

/// Numbers from -2 to 2 that look random and are the same everywhere.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32 * 4.0 - 2.0
    };
    (0..count).map(next).collect()
}

/// Every sequence that may be, with its score.
fn all(scores: &[f32], transition: &[f32]) -> Vec<(Vec<usize>, f64)> {
    let tags = TAGS.count();
    let mut paths = vec![(Vec::new(), 0.0)];
    for row in scores.chunks(tags) {
        let mut longer = Vec::new();
        for (path, score) in &paths {
            for tag in 0..tags {
                let last: Option<usize> = path.last().copied();
                if TAGS.follows(last, tag) {
                    let step = last.map_or(0.0, |last| f64::from(transition[last * tags + tag]));
                    longer.push(([&path[..], &[tag]].concat(), score + step + f64::from(row[tag])));
                }
            }
        }
        paths = longer;
    }
    paths
}

fn log_sum(paths: &[(Vec<usize>, f64)]) -> f64 {
    paths.iter().map(|(_, score)| score.exp()).sum::<f64>().ln()
}

#[test]
fn sums_marginals_and_best_path_are_those_of_every_sequence_one_by_one() {
    let tags = TAGS.count();
    for seed in 0..20 {
        let (scores, transition) = (numbers(5 * tags, seed), numbers(tags * tags, seed + 100));
        let chain = Chain::new(TAGS, &transition);
        let paths = all(&scores, &transition);
        let total = log_sum(&paths);
        let sums = chain.sums(&scores, None);
        assert!((sums.log_sum - total).abs() < 1e-9, "{} {total}", sums.log_sum);
        let probability = |of: &dyn Fn(&[usize]) -> bool| -> f64 {
            paths.iter().filter(|(path, _)| of(path)).map(|(_, score)| (score - total).exp()).sum()
        };
        let mut pairs = vec![0.0; tags * tags];
        chain.add_pairs(&sums, 1.0, &mut pairs);
        for tag in 0..tags {
            for token in 0..5 {
                assert!((sums.tag(token, tag) - probability(&|path| path[token] == tag)).abs() < 1e-9);
            }
            for next in 0..tags {
                let expected: f64 =
                    (1..5).map(|at| probability(&|path| path[at - 1] == tag && path[at] == next)).sum();
                assert!((pairs[tag * tags + next] - expected).abs() < 1e-9);
            }
        }
        let best = paths.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(chain.best(&scores), best.0);
        let likely = chain.likely(&sums, 0.0);
        for start in 0..5 {
            for end in start + 1..=5 {
                for label in 0..2 {
                    let span = Span { start, end, label };
                    let expected = probability(&|path| spans(TAGS, path).contains(&span));
                    assert!((chain.probability(&sums, span) - expected).abs() < 1e-9);
                    let listed = likely.iter().find(|(found, _)| *found == span).unwrap();
                    assert!((listed.1 - expected).abs() < 1e-9);
                }
            }
        }
    }
}

#[test]
fn fewer_tags_leave_the_sequences_that_have_only_them() {
    let tags = TAGS.count();
    let (scores, transition) = (numbers(4 * tags, 3), numbers(tags * tags, 4));
    let chain = Chain::new(TAGS, &transition);
    // The second label was never marked: where nothing is said there may be its names.
    let open: Allowed = 1 | 1 << TAGS.begin(1) | 1 << TAGS.inside(1);
    let allowed = [open, 1 << TAGS.begin(0), 1 << TAGS.inside(0), open];
    let left: Vec<_> = all(&scores, &transition)
        .into_iter()
        .filter(|(path, _)| path.iter().zip(&allowed).all(|(tag, may)| may & (1 << tag) != 0))
        .collect();
    assert_eq!(left.len(), 4);
    let sums = chain.sums(&scores, Some(&allowed));
    assert!((sums.log_sum - log_sum(&left)).abs() < 1e-9);
    assert!((sums.tag(1, TAGS.begin(0)) - 1.0).abs() < 1e-12);
}

#[test]
fn scores_of_any_size_stay_numbers() {
    let tags = TAGS.count();
    let scores: Vec<f32> = numbers(60 * tags, 5).iter().map(|x| 400.0 * x).collect();
    let chain = Chain::new(TAGS, &numbers(tags * tags, 6));
    let sums = chain.sums(&scores, None);
    assert!(sums.log_sum.is_finite());
    for token in 0..60 {
        let total: f64 = (0..tags).map(|tag| sums.tag(token, tag)).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
    assert_eq!(chain.sums(&[], None).log_sum, 0.0);
    assert!(chain.best(&[]).is_empty());
}

#[test]
fn the_selection_is_worth_the_most_of_all_that_do_not_overlap() {
    let span = |start, end| Span { start, end, label: 0 };
    let likely = [(span(0, 2), 0.5), (span(0, 1), 0.44), (span(1, 2), 0.44), (span(3, 4), 0.3)];
    let mut ordered = likely;
    ordered.sort_by_key(|(span, _)| span.start);
    let chosen: Vec<Span> = select(&ordered, 4, 0.4).into_iter().map(|(span, _)| span).collect();
    assert_eq!(chosen, [span(0, 2)]);
    let chosen: Vec<Span> = select(&ordered, 4, 0.2).into_iter().map(|(span, _)| span).collect();
    assert_eq!(chosen, [span(0, 1), span(1, 2), span(3, 4)]);
}
