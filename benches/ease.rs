//! EASE for a shop's products: the inverse of a matrix with a row a product.
//!
//! The work grows with the cube of the products. Budget: two seconds for 2,000 products on two cores, so about four
//! minutes for 10,000, the most that is fitted in closed form.

use bespoke::learn::recommend::Interactions;
use bespoke::learn::recommend::fit_ease;
use criterion::{Criterion, criterion_group, criterion_main};

/// So many people bought six products each, most of them the popular ones.
fn shop(products: u32) -> Interactions {
    let people = 3 * products;
    let pair = |person: u32, number: u32| {
        let mixed = person.wrapping_mul(2_654_435_761).wrapping_add(number.wrapping_mul(40_503))
            % (products * products);
        (person, mixed.isqrt())
    };
    let pairs = (0..people).flat_map(|person| (0..6).map(move |number| pair(person, number)));
    Interactions::new(people as usize, products as usize, pairs)
}

fn fit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ease");
    group.sample_size(10);
    for products in [500, 2_000] {
        let shop = shop(products);
        group.bench_function(format!("{products} products"), |bencher| {
            bencher.iter(|| fit_ease(&shop, 500.0, &|_, _| {}).expect("few products"));
        });
    }
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
