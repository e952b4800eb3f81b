//! The reward model of the direct method: position mean + action effect + what their pairing adds, each
//! shrunk as far as the data ask (empirical Bayes).
//!
//! A log has few rewards per action and position, so raw means of cells would be mostly noise. Each effect is
//! the mean of what the coarser level leaves over, times n ÷ (n + k) with k = the variance within groups ÷ the
//! variance between them, both estimated from the log (Bühlmann and Straub 1970). Where groups differ no more
//! than chance makes them, k is infinite and the effect is nothing.

use super::super::stats::as_f64;
use super::{LoggedDecision, TargetPolicy};

/// Count, sum and sum of squares of rewards, for each action and position.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    positions: usize,
    /// By action, then position.
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    count: f64,
    sum: f64,
    squares: f64,
}

/// Expected rewards by action and position.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardModel {
    positions: usize,
    expected: Vec<f64>,
}

impl Cells {
    /// Counts the rows of a log.
    pub fn of<'r>(log: impl IntoIterator<Item = &'r LoggedDecision>, target: &TargetPolicy) -> Self {
        let positions = target.positions;
        let mut cells = Self { positions, cells: vec![Cell::default(); target.probabilities.len()] };
        for row in log {
            cells.add(row, 1.0);
        }
        cells
    }

    /// These cells less some of their rows.
    #[must_use]
    pub fn without<'r>(&self, rows: impl Iterator<Item = &'r LoggedDecision>) -> Self {
        let mut rest = self.clone();
        for row in rows {
            rest.add(row, -1.0);
        }
        rest
    }

    fn add(&mut self, row: &LoggedDecision, times: f64) {
        let cell = &mut self.cells[row.action as usize * self.positions + row.position as usize];
        cell.count += times;
        cell.sum += times * row.reward;
        cell.squares += times * row.reward * row.reward;
    }

    /// The mean of a value of each position, weighted by how often the log shows the position.
    pub fn mean_over_positions(&self, values: &[f64]) -> f64 {
        let (mut count, mut sum) = (0.0, 0.0);
        for (cell, value) in self.cells.iter().zip(values.iter().cycle()) {
            count += cell.count;
            sum += cell.count * value;
        }
        sum / count
    }

    /// The share of the target's choices, at positions as often as the log has them, that the log never shows.
    pub fn unseen_share(&self, target: &TargetPolicy) -> f64 {
        let mut unseen = vec![0.0; self.positions];
        for (index, cell) in self.cells.iter().enumerate() {
            if cell.count <= 0.0 {
                unseen[index % self.positions] += target.probabilities[index];
            }
        }
        self.mean_over_positions(&unseen)
    }

    /// The cells of each group that `group` names for (action, position), less an expectation for each cell.
    fn grouped(&self, groups: usize, group: impl Fn(usize) -> usize, expected: &[f64]) -> Vec<Cell> {
        let mut grouped = vec![Cell::default(); groups];
        for (index, cell) in self.cells.iter().enumerate() {
            let (into, less) = (&mut grouped[group(index)], expected[index]);
            into.count += cell.count;
            into.sum += cell.sum - cell.count * less;
            into.squares += cell.squares - 2.0 * less * cell.sum + cell.count * less * less;
        }
        grouped
    }
}

impl RewardModel {
    /// Fits the three levels, from the coarsest to the finest.
    pub fn fit(cells: &Cells) -> Self {
        let positions = cells.positions;
        let nothing = vec![0.0; cells.cells.len()];
        let by_position = cells.grouped(positions, |index| index % positions, &nothing);
        let total = cells.grouped(1, |_| 0, &nothing)[0];
        let overall = if total.count > 0.0 { total.sum / total.count } else { 0.0 };
        let mean = |cell: &Cell| if cell.count > 0.0 { cell.sum / cell.count } else { overall };
        let means: Vec<f64> = by_position.iter().map(mean).collect();
        let mut expected: Vec<f64> = (0..nothing.len()).map(|index| means[index % positions]).collect();

        let by_action = cells.grouped(nothing.len() / positions, |index| index / positions, &expected);
        let effects = shrunk_means(&by_action);
        for (index, value) in expected.iter_mut().enumerate() {
            *value += effects[index / positions];
        }
        let pairings = shrunk_means(&cells.grouped(nothing.len(), |index| index, &expected));
        for (value, pairing) in expected.iter_mut().zip(&pairings) {
            *value += pairing;
        }
        Self { positions, expected }
    }

    /// The expected reward of an action at a position.
    pub fn expected(&self, action: u32, position: u32) -> f64 {
        self.expected[action as usize * self.positions + position as usize]
    }

    /// The expected reward of the target at each position.
    pub fn values_of(&self, target: &TargetPolicy) -> Vec<f64> {
        let mut values = vec![0.0; self.positions];
        for (index, (expected, probability)) in self.expected.iter().zip(&target.probabilities).enumerate() {
            values[index % self.positions] += expected * probability;
        }
        values
    }
}

/// The mean of each group, shrunk to zero by the estimated share of it that is noise.
fn shrunk_means(groups: &[Cell]) -> Vec<f64> {
    let Some(strength) = shrinkage(groups) else {
        return vec![0.0; groups.len()];
    };
    let shrunk = |group: &Cell| {
        let denominator = group.count + strength;
        if denominator > 0.0 { group.sum / denominator } else { 0.0 }
    };
    groups.iter().map(shrunk).collect()
}

/// k of the Bühlmann–Straub credibility n ÷ (n + k). `None` when groups differ no more than chance makes them.
fn shrinkage(groups: &[Cell]) -> Option<f64> {
    let seen: Vec<&Cell> = groups.iter().filter(|group| group.count > 0.0).collect();
    let count: f64 = seen.iter().map(|group| group.count).sum();
    let freedom = count - as_f64(seen.len());
    if seen.len() < 2 || freedom < 1.0 {
        return None;
    }
    let overall = seen.iter().map(|group| group.sum).sum::<f64>() / count;
    let spread = |group: &&Cell| (group.squares - group.sum * group.sum / group.count).max(0.0);
    let within = seen.iter().map(spread).sum::<f64>() / freedom;
    let squares: f64 =
        seen.iter().map(|group| group.count * (group.sum / group.count - overall).powi(2)).sum();
    let sizes: f64 = seen.iter().map(|group| group.count * group.count).sum();
    let between = (squares - as_f64(seen.len() - 1) * within) / (count - sizes / count);
    (between > 0.0).then(|| within / between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
    }

    fn group(values: &[f64]) -> Cell {
        Cell {
            count: as_f64(values.len()),
            sum: values.iter().sum(),
            squares: values.iter().map(|value| value * value).sum(),
        }
    }

    /// Within: (2 + 2)/2 = 2. Squares between: 2·25 + 2·25 = 100; between = (100 − 2)/(4 − 8/4) = 49.
    #[test]
    fn the_shrinkage_is_that_of_buhlmann_and_straub() {
        let groups = [group(&[-6.0, -4.0]), group(&[4.0, 6.0]), Cell::default()];
        near(shrinkage(&groups).unwrap(), 2.0 / 49.0);
        let means = shrunk_means(&groups);
        near(means[0], -10.0 / (2.0 + 2.0 / 49.0));
        near(means[2], 0.0);
    }

    #[test]
    fn groups_that_do_not_differ_have_no_effect() {
        let groups = [group(&[-1.0, 1.0]), group(&[-1.0, 1.0])];
        assert_eq!(shrinkage(&groups), None);
        assert_eq!(shrunk_means(&groups), [0.0, 0.0]);
    }

    #[test]
    fn a_model_is_position_mean_plus_action_effect_and_knows_nothing_of_unseen_actions() {
        let target = TargetPolicy::new(2, vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
        let mut log = Vec::new();
        for (action, position, reward) in [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)] {
            let row = LoggedDecision { action, position, reward, propensity: 0.5, recipient: 0 };
            log.extend([row; 50]);
        }
        let model = RewardModel::fit(&Cells::of(&log, &target));
        // Position means 2 and 3; the actions lie 1 below and above, without noise: k is 0.
        near(model.expected(0, 0), 1.0);
        near(model.expected(1, 1), 4.0);
        near(model.expected(2, 1), 3.0);
        let values = model.values_of(&target);
        near(values[0], 1.0);
        near(values[1], 4.0);
    }
}
