//! Two logs of who took what become what the models are fitted to and judged by.

use std::collections::HashMap;
use std::path::Path;

use super::super::table::{Table, TableError};
use super::Interactions;
use super::ranking::Case;

/// Training and test of the same users and items.
#[derive(Debug)]
pub struct Input {
    /// Who took what before.
    pub train: Interactions,
    /// Who took what afterwards.
    pub cases: Vec<Case>,
    /// The names of the items, the ones of the training first.
    pub items: Vec<String>,
    /// Rows without a user or an item, which say nothing.
    pub gaps: usize,
}

/// Reads both files; rows without a user or an item are counted and left out.
pub fn read(train: &Path, test: &Path, user: &str, item: &str) -> Result<Input, TableError> {
    let mut items = Names::default();
    let mut users = Names::default();
    let mut gaps = 0;
    let mut pairs = |file: &Path, items: &mut Names, users: &mut Names| -> Result<_, TableError> {
        let table = Table::read(file, &[user, item])?;
        let (user_names, item_names) = (table.column(user)?, table.column(item)?);
        let mut pairs = Vec::with_capacity(table.row_count());
        for (user, item) in user_names.texts().zip(item_names.texts()) {
            if user.is_empty() || item.is_empty() {
                gaps += 1;
            } else {
                pairs.push((users.code(user), items.code(item)));
            }
        }
        if pairs.is_empty() {
            let problem = "no row has both a user and an item".to_owned();
            return Err(TableError::Header { file: table.file().to_owned(), problem });
        }
        Ok(pairs)
    };
    let before = pairs(train, &mut items, &mut users)?;
    let (known_users, known_items) = (users.names.len(), items.names.len());
    let after = pairs(test, &mut items, &mut users)?;
    let taken = Interactions::new(users.names.len(), items.names.len(), after);
    let case = |user: u32| Case {
        user: ((user as usize) < known_users).then_some(user),
        relevant: taken.items_of(user).to_vec(),
    };
    let cases = (0..).take(taken.users()).map(case).filter(|case| !case.relevant.is_empty()).collect();
    Ok(Input { train: Interactions::new(known_users, known_items, before), cases, items: items.names, gaps })
}

/// Names with a code each, in order of appearance.
#[derive(Debug, Default)]
struct Names {
    codes: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.codes.insert(name.to_owned(), code);
        self.names.push(name.to_owned());
        code
    }
}
