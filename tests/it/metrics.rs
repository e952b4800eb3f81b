//! What a process counts and measures, read by Prometheus' own parser.

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::http::MetricsPage;
use bespoke::http::Scope;
use bespoke::worker::run::Until;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::judge;
use crate::support::service::answer;

/// Prints every sample as JSON: name with its labels, sorted, and value.
const READER: &str = "\
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
samples = {}
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))
        samples[f'{sample.name}{{{labels}}}'] = sample.value
print(json.dumps(samples))
";

async fn read(text: &str) -> Option<Value> {
    let python = judge::python_with("prometheus_client")?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.txt");
    std::fs::write(&file, text).unwrap();
    let printed = judge::run(&python, ".", &["-c", READER, file.to_str().unwrap()]).await;
    Some(serde_json::from_str(&printed).unwrap())
}

#[tokio::test]
async fn what_a_worker_did_is_read_by_prometheus_own_parser() {
    for mut app in TestApp::on_each_database(&[]).await {
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec!["rcpt@550@=550 5.1.1 no such user".parse().unwrap()]);
        let mut relay = Relay::from_url(&catcher.url()).unwrap();
        "main".clone_into(&mut relay.name);
        app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
        for name in ["ana", "bo", "550"] {
            app.given_profile(name).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.does("ana", "Order Completed", json!({"order_id": "A-1"})).await;
        let worker = app.worker().await;
        let metrics = worker.metrics();
        worker.run(Until::Idle).await.unwrap();
        app.plans().await;
        let page = MetricsPage::new(metrics, app.database.store.clone(), app.clock.clone());
        let address = page.listen("127.0.0.1:0").await.unwrap();
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        assert!(!text.contains("ana") && !text.contains('@'), "no people in it: {text}");
        let Some(samples) = read(&text).await else { return };
        for (name, expected) in [
            ("bespoke_sends_total{domain_group=example.test,reason=sent,state=sent}", 2.0),
            ("bespoke_sends_total{domain_group=example.test,reason=hard_bounce,state=failed}", 1.0),
            ("bespoke_render_seconds_count{}", 3.0),
            // Of the first sixteen, one is measured.
            ("bespoke_step_cpu_seconds_count{step=decide}", 1.0),
            ("bespoke_step_cpu_seconds_count{step=render}", 1.0),
            ("bespoke_step_cpu_seconds_count{step=compose}", 1.0),
            ("bespoke_step_cpu_seconds_count{step=sign}", 1.0),
            ("bespoke_smtp_phase_seconds_count{phase=checkout}", 3.0),
            ("bespoke_smtp_phase_seconds_count{phase=envelope}", 3.0),
            ("bespoke_smtp_phase_seconds_count{phase=mark}", 2.0),
            ("bespoke_smtp_phase_seconds_count{phase=body}", 2.0),
            ("bespoke_limit_wait_seconds_count{limit=domain_group}", 3.0),
            ("bespoke_limit_wait_seconds_count{limit=global}", 3.0),
            ("bespoke_relay_breaker{relay=main}", 0.0),
            ("bespoke_decision_entropy_bits_count{campaign=news}", 3.0),
            ("bespoke_decision_entropy_bits_sum{campaign=news}", 0.0),
            ("bespoke_queue_due{kind=transactional}", 1.0),
            ("bespoke_queue_due{kind=lifecycle}", 0.0),
            ("bespoke_queue_oldest_due_seconds{kind=transactional}", 0.0),
        ] {
            assert_eq!(samples[name].as_f64(), Some(expected), "{name} in {text}");
        }
    }
}

/// Two variants that fit everybody.
const TWO: Files<'static> = &[(
    "news/any/other.mjml",
    "+++\nsubject = \"Other\"\n+++\n<mj-section><mj-column><mj-text>Other news</mj-text></mj-column></mj-section>",
)];

/// What a worker counted, as Prometheus reads it.
async fn worked(app: &TestApp) -> Option<Value> {
    let worker = app.worker().await;
    let metrics = worker.metrics();
    worker.run(Until::Idle).await.unwrap();
    let page = MetricsPage::new(metrics, app.database.store.clone(), app.clock.clone());
    let address = page.listen("127.0.0.1:0").await.unwrap();
    read(&reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()).await
}

#[tokio::test]
async fn age_waits_entropy_and_breakers_are_measured_and_not_nought() {
    for mut app in TestApp::on_each_database(TWO).await {
        let catcher = Catcher::start().await.unwrap();
        let relay = || {
            let mut relay = Relay::from_url(&catcher.url()).unwrap();
            "main".clone_into(&mut relay.name);
            Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap())
        };
        app.over(relay());
        app.config.rates.per_second = Some(20.0);
        for n in 0..8 {
            app.given_profile(&format!("p{n}")).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        let Some(samples) = worked(&app).await else { return };
        let on = app.database.name();
        let number = |samples: &Value, name: &str| {
            samples[name].as_f64().unwrap_or_else(|| panic!("no {name} on {on}: {samples}"))
        };
        let mails = number(&samples, "bespoke_decision_entropy_bits_count{campaign=news}");
        assert!(
            number(&samples, "bespoke_decision_entropy_bits_sum{campaign=news}") > 0.9 * mails,
            "{samples}"
        );
        assert!(number(&samples, "bespoke_limit_wait_seconds_sum{limit=global}") > 0.0, "{samples}");
        assert!(number(&samples, "bespoke_render_seconds_sum{}") > 0.0, "{samples}");
        for step in ["decide", "render", "compose"] {
            let name = format!("bespoke_step_cpu_seconds_sum{{step={step}}}");
            assert!(number(&samples, &name) > 0.0, "{step}: {samples}");
        }
        for phase in ["checkout", "envelope", "mark", "body"] {
            let name = format!("bespoke_smtp_phase_seconds_sum{{phase={phase}}}");
            assert!(number(&samples, &name) > 0.0, "{phase}: {samples}");
        }
        assert!(number(&samples, "bespoke_relay_breaker{relay=main}").abs() < f64::EPSILON);

        // The relay refuses everybody at its door; what was due waits.
        catcher.set_rules(vec!["connect=554 5.3.2 go away".parse().unwrap()]);
        app.over(relay());
        app.does("p0", "Order Completed", json!({"order_id": "A-1"})).await;
        app.plans().await;
        app.at("2026-03-02T10:01:30Z").await;
        let samples = worked(&app).await.unwrap();
        assert!(number(&samples, "bespoke_relay_breaker{relay=main}") > 0.0, "{samples}");
        app.does("p1", "Order Completed", json!({"order_id": "A-2"})).await;
        app.plans().await;
        app.at("2026-03-02T10:03:00Z").await;
        let page =
            MetricsPage::new(app.worker().await.metrics(), app.database.store.clone(), app.clock.clone());
        let address = page.listen("127.0.0.1:0").await.unwrap();
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let samples = read(&text).await.unwrap();
        assert!(number(&samples, "bespoke_queue_due{kind=transactional}") >= 1.0, "{samples}");
        assert!(
            number(&samples, "bespoke_queue_oldest_due_seconds{kind=transactional}") >= 90.0,
            "{samples}"
        );
    }
}

#[tokio::test]
async fn answers_are_counted_by_endpoint_and_status_for_whoever_may_read_metrics() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    for path in ["/v1/sends/1", "/v1/sends/2", "/healthz", "/nothing/here"] {
        serving.get(path).await;
    }
    let text = serving.get("/metrics").await;
    assert!(text.header("content-type").starts_with("application/openmetrics-text"), "{text:?}");
    if let Some(samples) = read(&text.text).await {
        for (endpoint, status, expected) in
            [("/v1/sends/{id}", 404, 2.0), ("/healthz", 200, 1.0), ("other", 404, 1.0)]
        {
            let name =
                format!("bespoke_http_requests_total{{endpoint={endpoint},method=GET,status={status}}}");
            assert_eq!(samples[&name].as_f64(), Some(expected), "{name}: {samples}");
        }
        let times = &samples["bespoke_http_request_seconds_count{endpoint=/v1/sends/{id}}"];
        assert_eq!(times.as_f64(), Some(2.0));
    }
    assert_eq!(answer(serving.request(Method::GET, "/metrics")).await.status, 401);
    let other = app.key_for(&[Scope::Send]).await;
    assert_eq!(answer(serving.request(Method::GET, "/metrics").bearer_auth(other)).await.status, 403);
}
