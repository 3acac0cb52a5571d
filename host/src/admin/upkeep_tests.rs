//! Answers to what takes long, without a store.

use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;

fn job(ended: impl Future<Output = Ended> + Send + 'static) -> JoinHandle<Ended> {
    tokio::spawn(ended)
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn what_ends_soon_is_answered_with_its_status() {
    let good = answer(job(async { Ok(json!({"files": 1})) }), WAITS).await;
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(text(good).await, r#"{"files":1}"#);
    let bad = answer(job(async { Err(failed("no room".to_owned())) }), WAITS).await;
    assert_eq!(bad.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text(bad).await.contains("no room"));
}

#[tokio::test]
async fn what_takes_long_is_answered_before_it_ends_and_says_last_how_it_did() {
    let waits = Waits {
        patience: Duration::ZERO,
        keep_alive: Duration::from_millis(1),
    };
    for (ended, wanted) in [
        (Ok(json!({"files": 1})), json!({"files": 1})),
        (
            Err(failed("no room".to_owned())),
            json!({"error": "upkeep-failed", "message": "no room"}),
        ),
    ] {
        let (end, ends) = oneshot::channel::<Ended>();
        let response = answer(job(async { ends.await.unwrap() }), waits).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let mut body = response.into_body();
        let mut next = async || body.frame().await?.unwrap().into_data().ok();
        for _ in 0..3 {
            assert_eq!(next().await.unwrap(), "\n", "it goes on");
        }
        end.send(ended).unwrap();
        let mut last = next().await.unwrap();
        while last == "\n" {
            last = next().await.unwrap();
        }
        let told: Value = serde_json::from_slice(&last).unwrap();
        assert_eq!(told, wanted);
        assert_eq!(next().await, None);
    }
}

#[tokio::test]
async fn a_second_one_is_refused_until_the_first_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let limits = caxton_store::Limits::default();
    let (store, _) = caxton_store::Store::open(folder.path(), limits).unwrap();
    let upkeep = Upkeep::new(store.journal, &[], Granted::default());
    let (end, ends) = oneshot::channel::<()>();
    let first = upkeep
        .begin(async { Ok(json!(ends.await.is_ok())) })
        .unwrap();
    let second = upkeep.begin(async { Ok(json!(2)) }).unwrap_err();
    assert!(
        format!("{second:?}").contains("goes on already"),
        "{second:?}"
    );
    end.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap(), json!(true));
    let third = upkeep.begin(async { Ok(json!(3)) }).unwrap();
    assert_eq!(third.await.unwrap().unwrap(), json!(3));
}
