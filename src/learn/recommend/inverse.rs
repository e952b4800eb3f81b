//! The inverse of a large symmetric positive definite matrix, in place.
//!
//! Blocks of columns are swept one after the other (Beaton 1964; Goodnight 1979): a block's own part is
//! inverted by Cholesky, everything else is updated by matrix products, which is where processors are fast.
//! The work is n³ operations, as for Cholesky's inverse as a whole, and no second matrix is needed.

use nalgebra::DMatrix;

/// Columns that are swept at once: their products fill the processor's cache.
const BLOCK: usize = 96;

/// Inverts a symmetric positive definite matrix of which only the lower triangle is read. The whole matrix is
/// written. `None`, with the matrix spoilt, when it is not positive definite.
pub(super) fn invert(matrix: &mut DMatrix<f64>) -> Option<()> {
    let size = matrix.nrows();
    let mut start = 0;
    while start < size {
        let width = BLOCK.min(size - start);
        sweep(matrix, start, width)?;
        start += width;
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
    let mut left = 0;
    while left < size {
        let count = BLOCK.min(size - left);
        matrix.view_mut((left, left), (size - left, count)).gemm(
            -1.0,
            &swept.rows(left, size - left),
            &turned.columns(left, count),
            1.0,
        );
        left += count;
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one_across_blocks() {
        for size in [1, 2, 95, 96, 97, 250] {
            let entry = |row: usize, column: usize| {
                let near = 1.0 / (1.0 + crate::learn::stats::as_f64(row.abs_diff(column)));
                if row == column { 3.0 + near } else { near }
            };
            let matrix = DMatrix::from_fn(size, size, entry);
            let mut inverse = matrix.lower_triangle();
            invert(&mut inverse).unwrap();
            let error = (&matrix * &inverse - DMatrix::identity(size, size)).amax();
            assert!(error < 1e-11, "{size}: {error}");
            assert_eq!(inverse, inverse.transpose());
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_inverse_here() {
        assert_eq!(invert(&mut DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0])), None);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_librarys_inverse(entries in prop::collection::vec(-1.0f64..1.0, 36)) {
            let root = DMatrix::from_vec(6, 6, entries);
            let matrix = &root * root.transpose() + DMatrix::identity(6, 6);
            let mut inverse = matrix.clone();
            invert(&mut inverse).unwrap();
            prop_assert!((inverse - matrix.try_inverse().unwrap()).amax() < 1e-9);
        }
    }
}
