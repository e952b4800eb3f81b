//! The inverse of a large symmetric positive definite matrix, in place.
//!
//! Blocks of columns are swept one after the other (Beaton 1964; Goodnight 1979): a block's own part is
//! inverted by Cholesky, everything else is updated by matrix products, which is where processors are fast.
//! The work is n³ operations, as for Cholesky's inverse as a whole, and no second matrix is needed. The products of a
//! block are shared by a few threads, each with its own columns.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use nalgebra::DMatrix;
use nalgebra::DMatrixViewMut;

/// Columns that are swept at once: their products fill the processor's cache.
const BLOCK: usize = 96;
/// Threads at most: whoever learns leaves cores to those who send.
const THREADS_MAX: usize = 4;
/// Below this many columns threads cost more than they save.
const SIZE_SHARED_MIN: usize = 4 * BLOCK;

/// Told how many columns of how many are done.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Inverts a symmetric positive definite matrix of which only the lower triangle is read. The whole matrix is
/// written. `None`, with the matrix spoilt, when it is not positive definite.
pub(super) fn invert(matrix: &mut DMatrix<f64>, progress: Progress<'_>) -> Option<()> {
    let size = matrix.nrows();
    let mut start = 0;
    while start < size {
        let width = BLOCK.min(size - start);
        sweep(matrix, start, width)?;
        start += width;
        progress(start, size);
    }
    for column in 0..size {
        for row in column..size {
            let value = -matrix[(row, column)];
            matrix[(row, column)] = value;
            matrix[(column, row)] = value;
        }
    }
    Some(())
}

/// Sweeps the columns `start..start + width` of the lower triangle.
fn sweep(matrix: &mut DMatrix<f64>, start: usize, width: usize) -> Option<()> {
    let size = matrix.nrows();
    let mut columns = DMatrix::<f64>::zeros(size, width);
    for offset in 0..width {
        for row in 0..size {
            let (low, high) = (row.min(start + offset), row.max(start + offset));
            columns[(row, offset)] = matrix[(high, low)];
        }
    }
    let pivot = columns.rows(start, width).into_owned().cholesky()?.inverse();
    let swept = &columns * &pivot;
    let turned = columns.transpose();
    subtract(matrix, &swept, &turned);
    for offset in 0..width {
        for row in 0..size {
            let (low, high) = (row.min(start + offset), row.max(start + offset));
            matrix[(high, low)] = if (start..start + width).contains(&row) {
                -pivot[(row - start, offset)]
            } else {
                swept[(row, offset)]
            };
        }
    }
    Some(())
}

/// Subtracts `swept · turned` from the lower triangle, panel by panel.
fn subtract(matrix: &mut DMatrix<f64>, swept: &DMatrix<f64>, turned: &DMatrix<f64>) {
    let size = matrix.nrows();
    let panels = Mutex::new(matrix.as_mut_slice().chunks_mut(size * BLOCK).enumerate());
    let work = || {
        // Taken one by one: the first panels are the tallest.
        while let Some((number, panel)) = take(&panels) {
            let (left, count) = (number * BLOCK, panel.len() / size);
            let mut panel = DMatrixViewMut::from_slice(panel, size, count);
            panel.rows_mut(left, size - left).gemm(
                -1.0,
                &swept.rows(left, size - left),
                &turned.columns(left, count),
                1.0,
            );
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let others = if size < SIZE_SHARED_MIN { 0 } else { cores.min(THREADS_MAX) - 1 };
    thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
}

/// The lock is not held while the panel is worked on.
fn take<T>(panels: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    panels.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one_across_blocks() {
        for size in [1, 2, 95, 96, 97, 250, 500] {
            let entry = |row: usize, column: usize| {
                let near = 1.0 / (1.0 + crate::learn::stats::as_f64(row.abs_diff(column)));
                if row == column { 3.0 + near } else { near }
            };
            let matrix = DMatrix::from_fn(size, size, entry);
            let mut inverse = matrix.lower_triangle();
            invert(&mut inverse, &|_, _| {}).unwrap();
            let error = (&matrix * &inverse - DMatrix::identity(size, size)).amax();
            assert!(error < 1e-11, "{size}: {error}");
            assert_eq!(inverse, inverse.transpose());
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_inverse_here() {
        assert_eq!(invert(&mut DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]), &|_, _| {}), None);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_librarys_inverse(entries in prop::collection::vec(-1.0f64..1.0, 36)) {
            let root = DMatrix::from_vec(6, 6, entries);
            let matrix = &root * root.transpose() + DMatrix::identity(6, 6);
            let mut inverse = matrix.clone();
            invert(&mut inverse, &|_, _| {}).unwrap();
            prop_assert!((inverse - matrix.try_inverse().unwrap()).amax() < 1e-9);
        }
    }
}
