//! What a column gives back for what a file says.

use super::*;

fn table(text: &str) -> Table {
    Table::parse("log.csv", text.as_bytes(), None).unwrap()
}

#[test]
fn numbers_have_gaps_and_refuse_what_is_no_number() {
    let log = table("x\n1\n NA \n\"\"\n-2.5e1\nTrue\nnan\n");
    let expected = [Some(1.0), None, None, Some(-25.0), Some(1.0), None];
    assert_eq!(log.column("x").unwrap().numbers().unwrap(), expected);
    assert_eq!(
        log.column("x").unwrap().required_numbers().unwrap_err().to_string(),
        "log.csv, line 3, column \"x\": the number is missing"
    );
    for (text, shown) in [("1,5", "\"1,5\""), ("inf", "\"inf\""), ("12 €", "\"12 €\"")] {
        let log = table(&format!("x\n1\n\"{text}\"\n"));
        assert_eq!(
            log.column("x").unwrap().numbers().unwrap_err().to_string(),
            format!("log.csv, line 3, column \"x\": {shown} is not a number; write digits with a point")
        );
    }
}

#[test]
fn categories_keep_the_order_of_appearance_and_only_empty_cells_are_gaps() {
    let log = table("x,y\nmail,1\nNA,1\n,1\nmail,1\n");
    let expected = Categories {
        names: vec!["mail".to_owned(), "NA".to_owned()],
        codes: vec![Some(0), Some(1), None, Some(0)],
    };
    assert_eq!(log.column("x").unwrap().categories(), expected);
    assert!(log.column("x").unwrap().required_categories().is_err());
}

#[test]
fn the_kind_of_a_column_is_that_of_its_cells() {
    let log = table("a,b,c\n1,NA,x\nnull,,2\n");
    let kinds: Vec<ColumnKind> = log.columns().map(|column| column.kind()).collect();
    assert_eq!(kinds, [ColumnKind::Number, ColumnKind::Gaps, ColumnKind::Category]);
}

#[test]
fn times_are_read_with_and_without_a_time_of_day_and_an_offset() {
    let check = |text: &str, expected: &str| {
        assert_eq!(time_in(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
    };
    check("2017-01-28", "2017-01-28T00:00:00Z");
    check("19970101", "1997-01-01T00:00:00Z");
    check("2017-01-28 19:06:53", "2017-01-28T19:06:53Z");
    check("2019-11-24 00:00:34.762830+00:00", "2019-11-24T00:00:34.76283Z");
    check("2019-11-24T02:00:00+02:00", "2019-11-24T00:00:00Z");
    for text in ["", "28/01/2017", "soon", "2017-02-30"] {
        assert_eq!(time_in(text), None, "{text}");
    }
}

#[test]
fn rows_are_ordered_by_number_by_time_or_by_text_and_equal_ones_keep_their_order() {
    let check = |text: &str, expected: &[usize]| {
        assert_eq!(table(text).column("x").unwrap().ascending(), expected, "{text}");
    };
    check("x\n10\n9\nNA\n9\n", &[1, 3, 0, 2]);
    check("x\n2017-01-02\n2017-01-01 12:00:00\n", &[1, 0]);
    check("x,y\nb,1\n,1\na,1\n", &[2, 0, 1]);
}
