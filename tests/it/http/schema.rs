//! The description and the service agree: schemathesis makes requests from the one and checks the answers of the other.

use std::path::Path;

use crate::support::judge;
use crate::support::program::Program;

#[tokio::test]
async fn the_service_does_what_its_description_says_whatever_it_is_asked() {
    let Some(python) = judge::python_with("schemathesis") else { return };
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join(&python).with_file_name("schemathesis");
    let program = Program::new("");
    let server = program.serves(&[]).await;
    let scopes = bespoke::http::Scope::ALL.map(bespoke::http::Scope::as_str).join(",");
    let key = program.says(&["keys", "create", "schemathesis", "--scope", &scopes]).await;
    let description = format!("{}/openapi.json", server.url);
    let authorization = format!("Authorization: Bearer {}", key.trim());
    // What only the shop knows (which campaigns there are, whether a file's name would pass) no schema can say.
    let checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"];
    let examples = ["--seed", "1", "--max-examples", "20", "--no-color"];
    let mut arguments = vec!["run", &description, "-H", &authorization, "--generation-database", "none"];
    arguments.extend(checks);
    arguments.extend(examples);
    judge::run(tool.to_str().unwrap(), program.folder.path().to_str().unwrap(), &arguments).await;
}
