//! A picture: for each policy, what share of processes had at most which slowdown.

use std::fmt::Write;

use crate::sim::policy::Policy;
use crate::sim::report::Outcome;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;
/// The slowdowns at both ends of the axis, which is logarithmic.
const LEAST: f64 = 0.3;
const MOST: f64 = 1000.0;
/// Points of a curve.
const POINTS: usize = 200;

/// One colour for each of [`Policy::ALL`].
const COLOURS: [&str; 5] = ["#8c8c8c", "#c98a1b", "#b0413e", "#1f6fb4", "#2e8b57"];

fn x(slowdown: f64) -> f64 {
    let share = (slowdown.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

/// Draws the distribution of slowdowns of all outcomes as an SVG document.
pub fn draw(title: &str, outcomes: &[(Policy, Outcome)]) -> String {
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for slowdown in [0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0] {
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#ddd\"/>\
             <text x=\"{0:.1}\" y=\"{3}\" text-anchor=\"middle\">{slowdown}</text>",
            x(slowdown),
            TOP,
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        );
    }
    for percent in [0, 25, 50, 75, 100] {
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{percent} %</text>",
            WIDTH - RIGHT,
            y(f64::from(percent) / 100.0),
            LEFT - 6.0,
            y(f64::from(percent) / 100.0) + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">slowdown: seconds until done for each second of CPU time</text>",
        (LEFT + WIDTH) / 2.0,
        HEIGHT - 10.0
    );
    for (row, (policy, outcome)) in outcomes.iter().enumerate() {
        let colour = Policy::ALL
            .iter()
            .position(|p| p == policy)
            .map_or("black", |i| COLOURS[i]);
        let points: Vec<String> = (0..=POINTS)
            .map(|i| i as f64 / POINTS as f64)
            .map(|share| format!("{:.1},{:.1}", x(outcome.quantile(share)), y(share)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{}: mean {:.2}</text>",
            points.join(" "),
            WIDTH - RIGHT - 8.0,
            HEIGHT - BOTTOM - 84.0 + 16.0 * row as f64,
            policy.name(),
            outcome.mean
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_a_curve_inside_the_picture() {
        let outcome = Outcome {
            slowdowns: vec![0.01, 1.0, 1e9],
            ..Outcome::default()
        };
        let outcomes: Vec<_> = Policy::ALL.iter().map(|p| (*p, outcome.clone())).collect();
        let svg = draw("three processes", &outcomes);
        assert_eq!(svg.matches("<polyline").count(), Policy::ALL.len());
        for policy in Policy::ALL {
            assert!(svg.contains(policy.name()));
        }
        assert!((LEFT..=WIDTH - RIGHT).contains(&x(1e9)) && x(0.0) == LEFT);
    }
}
